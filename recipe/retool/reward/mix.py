"""Composition: ``parts`` of the configuration -> one weighted sum of reward functions.

A part is ``name: weight``, or ``name: {weight: 1.0, function: NAME, PARAMETER: VALUE, ...}``, where
``function`` defaults to the part's name; ``name: null`` leaves it out. Everything that can be wrong is found
when the mix is made: each function is also called on the trajectories of ``PROBES``.
"""

import functools
import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.reward.facts import Facts, counters_of
from recipe.retool.reward.registry import find_function, parameters_of
from recipe.retool.reward.values import as_number

# The reward of verl-recipe; configs/reward_mix/upstream.yaml says the same.
DEFAULT_PARTS: Mapping[str, Any] = {"outcome": 1.0, "tool_bonus": 1.0}
_OWN_KEYS = ("weight", "function")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_USED = counters_of({"num_turns": 6, "tool_calls": 2, "tool_ok": 1, "response_tokens": 10**9})
PROBES = (
    Facts(correct=False),
    Facts(correct=True, boxed=True, tool_turns=2.0, counters=_USED, text="x", answer="1", gold="1"),
)


@dataclass(frozen=True)
class Part:
    """One term of the sum.

    Attributes:
        name: The part's name in the configuration; its value is logged as ``reward_<name>``.
        weight: Factor of the value; 0 logs the value and does not reward it.
        function: Facts to a number, parameters bound.
    """

    name: str
    weight: float
    function: Callable[[Facts], float]


@dataclass(frozen=True)
class Score:
    """Outcome of a mix for one trajectory.

    Attributes:
        total: The weighted sum; not below 0 after an infrastructure failure.
        values: The unweighted value of each part.
        failed: A function raised or returned no number; it counts as 0.
    """

    total: float
    values: Mapping[str, float]
    failed: bool = False


@dataclass(frozen=True)
class Mix:
    """A weighted sum of reward functions."""

    parts: tuple[Part, ...]

    def score(self, facts: Facts) -> Score:
        """Score one trajectory; never raises."""
        found = {part.name: _value(part, facts) for part in self.parts}
        values = {name: value or 0.0 for name, value in found.items()}
        total = sum(part.weight * values[part.name] for part in self.parts)
        if facts.infra_failure:
            total = max(0.0, total)
        return Score(total, values, failed=None in found.values())


def mix_of(parts: Any, max_response_length: int = 0, fresh: bool = False) -> Mix:
    """The mix that a configuration describes; the same description gives the same object.

    Args:
        parts: Mapping of names to weights or settings (also OmegaConf's).
        max_response_length: Most tokens of a response; 0 when not told.
        fresh: Make it anew: a path may lead to another function than before.

    Raises:
        ConfigError: Names the key and what is known.
    """
    make = _mix_of.__wrapped__ if fresh else _mix_of
    return make(json.dumps(_plain(parts), default=repr), max_response_length)


@functools.lru_cache(maxsize=64)
def _mix_of(text: str, max_response_length: int) -> Mix:
    given = json.loads(text)
    if not isinstance(given, dict):
        raise ConfigError(f"reward_kwargs.parts = {given!r} must be a mapping of names to weights")
    parts = tuple(
        _part(name, value, max_response_length) for name, value in given.items() if value is not None
    )
    if not any(part.weight for part in parts):
        raise ConfigError("reward_kwargs.parts: no part with a weight, so that every score would be 0")
    return Mix(parts)


def _part(name: str, value: Any, max_response_length: int) -> Part:
    key = f"reward_kwargs.parts.{name} (reward_mix.{name})"
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{key}: a name has letters, digits and _; for a path write {{function: PATH}}")
    settings = value if isinstance(value, dict) else {"weight": value}
    weight = as_number(settings.get("weight", 1.0))
    if weight is None or isinstance(settings.get("weight"), bool):
        raise ConfigError(f"{key}: weight = {settings['weight']!r} is not a number")
    try:
        function = find_function(str(settings.get("function", name)))
        bound = _bind(function, {k: v for k, v in settings.items() if k not in _OWN_KEYS})
        part = Part(name, weight, bound)
        for probe in PROBES:
            _try(part, replace(probe, max_response_length=max_response_length))
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error
    return part


def _bind(function: Any, given: Mapping[str, Any]) -> Callable[[Facts], float]:
    """Bind parameters, each in the type of its default."""
    known = parameters_of(function)
    if known is None:
        return functools.partial(function, **given)
    for parameter in given:
        if parameter not in known:
            named = ", ".join([*_OWN_KEYS, *known])
            raise ConfigError(f"unknown parameter {parameter!r}; known: {named}")
    for parameter, declared in known.items():
        if declared.default is inspect.Parameter.empty and parameter not in given:
            raise ConfigError(f"parameter {parameter!r} must be set")
    bound = {parameter: _typed(parameter, given[parameter], known[parameter].default) for parameter in given}
    return functools.partial(function, **bound)


def _typed(name: str, value: Any, default: Any) -> Any:
    """The value as the type of ``default`` (flag, whole number, number, text); else as it is."""
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{name} = {value!r} must be true or false")
        return value
    if isinstance(default, str) and not isinstance(value, str):
        raise ConfigError(f"{name} = {value!r} must be a text")
    if not isinstance(default, (int, float)):
        return value
    number = None if isinstance(value, bool) else as_number(value)
    if number is None:
        raise ConfigError(f"{name} = {value!r} is not a number")
    if isinstance(default, int) and not number.is_integer():
        raise ConfigError(f"{name} = {value!r} must be a whole number")
    return int(number) if isinstance(default, int) else number


def _try(part: Part, facts: Facts) -> None:
    try:
        found: Any = part.function(facts)
    except ConfigError:
        raise
    except Exception as error:
        kind = "right" if facts.correct else "wrong"
        raise ConfigError(
            f"the function fails on a {kind} answer: {type(error).__name__}: {error}"
        ) from error
    if as_number(found) is None:
        raise ConfigError(f"the function returns {found!r}, which is no finite number")


def _value(part: Part, facts: Facts) -> float | None:
    """The function's value; None when it fails (a function from outside: ours cannot)."""
    try:
        return as_number(part.function(facts))
    except Exception:
        return None


def _plain(value: Any) -> Any:
    """Dicts and lists in place of OmegaConf's, whose values resolve as they are read."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return [_plain(inner) for inner in value]
    return value
