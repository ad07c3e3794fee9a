"""No tools at all: reasoning in text, the baseline that tool use is compared with."""

from collections.abc import Mapping, Sequence
from typing import Any

from recipe.retool.env.base import Message, ToolEnv
from recipe.retool.env.calls import ParsedCall


class TextEnv(ToolEnv):
    """``retool.env.name=text``: each turn is the last."""

    name = "text"
    uses_tools = False

    def announce(
        self, messages: Sequence[Message], schemas: Sequence[Mapping[str, Any]] | None
    ) -> tuple[list[Message], None]:
        """The problem as it is; no tool is shown."""
        return list(messages), None

    def extract_tool_calls(self, raw_response: str) -> list[ParsedCall]:
        """None, whatever the text looks like."""
        return []

    def format_tool_response(self, texts: Sequence[str]) -> str:
        """Never called for a turn without calls."""
        return "\n".join(texts)
