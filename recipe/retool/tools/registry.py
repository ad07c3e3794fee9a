"""Tools by name: those of the recipe, those of installed packages, and those that a config points at.

A package adds a tool with an entry point of the group ``retool.tools``, without a change here::

    entry_points={"retool.tools": ["unit_converter = my_package.tools:UnitConverter"]}

and a config can name a class without any installation: ``pkg://my_package.tools:UnitConverter``.
"""

import importlib
from collections.abc import Mapping
from importlib import metadata
from typing import Any, ClassVar, Protocol

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.errors import ConfigError

GROUP = "retool.tools"
_PACKAGE = "pkg://"
_OWN = {
    "check_equal": "recipe.retool.tools.check_equal:CheckEqual",
    "code_interpreter": "recipe.retool.tools.interpreter:CodeInterpreter",
}


class ConfiguredTool(Protocol):
    """A :class:`recipe.retool.env.calls.Tool` that a config can make.

    Attributes:
        schema: What the model is told of it, in OpenAI's format: the only copy.
    """

    schema: ClassVar[Mapping[str, Any]]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ConfiguredTool":
        """The tool of a config; ConfigError names the key and the fix."""
        ...

    async def call(self, arguments: Any, session: Session) -> ToolResult:
        """Run one call."""
        ...


def tool_names() -> list[str]:
    """Names of all tools that are there."""
    return sorted({*_OWN, *(point.name for point in metadata.entry_points(group=GROUP))})


def tool_class(name: str) -> type[ConfiguredTool]:
    """The tool of a name, or of a ``pkg://module:Class``.

    Raises:
        ConfigError: There is none, it cannot be imported, or it is no tool.
    """
    found = _load(_place(name), name)
    missing = [part for part in ("schema", "from_config", "call") if not hasattr(found, part)]
    if missing:
        raise ConfigError(f"tool {name!r}: {found!r} is no tool: it has no {', '.join(missing)}")
    function = found.schema.get("function") if isinstance(found.schema, Mapping) else None
    if not isinstance(function, Mapping) or not function.get("name"):
        raise ConfigError(f"tool {name!r}: its schema has no function.name; it must be in OpenAI's format")
    checked: type[ConfiguredTool] = found
    return checked


def tool_name(tool: type[ConfiguredTool]) -> str:
    """The name by which a model calls a tool."""
    return str(tool.schema["function"]["name"])


def _place(name: str) -> str:
    if name.startswith(_PACKAGE):
        return name.removeprefix(_PACKAGE)
    if name in _OWN:
        return _OWN[name]
    for point in metadata.entry_points(group=GROUP):
        if point.name == name:
            return point.value
    raise ConfigError(
        f"tool {name!r}: unknown; known are {', '.join(tool_names())}. Others come from a package with an "
        f"entry point of the group {GROUP}, or as pkg://module:Class"
    )


def _load(place: str, name: str) -> Any:
    module, _, attribute = place.partition(":")
    if not module or not attribute:
        raise ConfigError(f"tool {name!r}: {place!r} must be module:Class")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"tool {name!r}: cannot load {place}: {error}") from error
