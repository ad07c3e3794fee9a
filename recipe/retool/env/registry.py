"""Environments by name: ours, those of other packages, and any class by its path."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from recipe.retool.env.base import ToolEnv
from recipe.retool.env.calls import Tools
from recipe.retool.env.code_tags import CodeTagsEnv
from recipe.retool.env.guard import Guard
from recipe.retool.env.hermes import HermesEnv
from recipe.retool.env.settings import EnvSettings
from recipe.retool.env.text import TextEnv
from recipe.retool.errors import ConfigError

GROUP = "retool.envs"  # entry points of other packages: name = "module:Class"
PATH_PREFIX = "pkg://"
OWN: dict[str, type[ToolEnv]] = {env.name: env for env in (HermesEnv, CodeTagsEnv, TextEnv)}


def env_names() -> list[str]:
    """The names that can be chosen, sorted."""
    return sorted({*OWN, *(point.name for point in entry_points(group=GROUP))})


def env_class(name: str) -> type[ToolEnv]:
    """The environment of that name, or of the path ``pkg://module:Class``.

    Raises:
        ConfigError: There is none, it cannot be imported, or it is no ``ToolEnv``.
    """
    if name in OWN:
        return OWN[name]
    try:
        found = _outside(name)
    except Exception as error:  # a module of somebody else may do anything when it is imported
        raise ConfigError(f"retool.env.name={name}: cannot be imported: {error}") from error
    if found is None:
        raise ConfigError(
            f"retool.env.name={name}: unknown; known: {', '.join(env_names())}, or {PATH_PREFIX}module:Class"
        )
    if not (isinstance(found, type) and issubclass(found, ToolEnv)):
        raise ConfigError(f"retool.env.name={name}: {found!r} is no recipe.retool.env.base.ToolEnv")
    return found


def env_of(
    config: Mapping[str, Any] | None, tools: Tools | None = None, guard: Guard | None = None
) -> ToolEnv:
    """The environment that ``retool.env`` describes.

    Args:
        config: Plain values of that node; None for the defaults.
        tools: As of ``ToolEnv``.
        guard: As of ``ToolEnv``.

    Raises:
        ConfigError: A setting is unknown or impossible, or there is no such environment.
    """
    settings = EnvSettings.from_config(config)
    return env_class(settings.name)(tools, settings, guard)


def _outside(name: str) -> object | None:
    if name.startswith(PATH_PREFIX):
        module, _, attribute = name.removeprefix(PATH_PREFIX).partition(":")
        if not attribute:
            raise ValueError("write pkg://module:Class")
        return getattr(import_module(module), attribute)
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    return points[0].load() if points else None
