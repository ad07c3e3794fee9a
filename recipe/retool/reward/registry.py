"""Names of reward functions to functions: the recipe's own, those of installed packages, and any by its path.

A package offers one by an entry point of the group ``retool.rewards`` (name: how configs call it; value:
``module:function``). Without packaging, ``pkg://module:function`` names one that Python can import.
"""

import inspect
from collections.abc import Iterable, Mapping
from importlib import import_module, metadata
from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.reward.parts import BUILT_IN

GROUP = "retool.rewards"
SCHEME = "pkg://"


def find_function(name: str) -> Any:
    """The reward function of this name; the recipe's own come first.

    Args:
        name: A name of the registry, or ``pkg://module:function``.

    Raises:
        ConfigError: There is none, two packages claim it, or it cannot be imported.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name.startswith(SCHEME):
        return _load(name.removeprefix(SCHEME), name)
    found = {point.value for point in metadata.entry_points(group=GROUP) if point.name == name}
    if len(found) > 1:
        raise ConfigError(
            f"{name} is offered by {' and '.join(sorted(found))}: name one as {SCHEME}MODULE:NAME"
        )
    if not found:
        raise ConfigError(
            f"no reward function is called {name!r}; known: {', '.join(known_names())} "
            f"and {SCHEME}MODULE:NAME"
        )
    return _load(found.pop(), name)


def known_names() -> list[str]:
    """The recipe's own names, then those of installed packages."""
    points: Iterable[Any] = metadata.entry_points(group=GROUP)
    return [*BUILT_IN, *sorted({point.name for point in points} - set(BUILT_IN))]


def parameters_of(function: Any) -> Mapping[str, inspect.Parameter] | None:
    """Parameters that a config may set, by name; None when the function takes any.

    Raises:
        ConfigError: It is no function that can be called with the facts alone in front.
    """
    if not callable(function) or inspect.isclass(function) or inspect.iscoroutinefunction(function):
        raise ConfigError(f"{function!r} is no plain function of a trajectory's facts")
    declared = list(inspect.signature(function).parameters.values())
    if not declared or declared[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise ConfigError(f"{function!r} must take the facts as its first argument")
    rest = declared[1:] if declared[0].kind is not inspect.Parameter.VAR_POSITIONAL else declared
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in rest):
        return None
    by_name = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return {parameter.name: parameter for parameter in rest if parameter.kind in by_name}


def _load(path: str, name: str) -> Any:
    module, _, attribute = path.partition(":")
    if not module or not attribute:
        raise ConfigError(f"{name}: write {SCHEME}MODULE:FUNCTION")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever the module does when it is imported
        raise ConfigError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error
    return found
