"""Any tool of verl as a tool of our environments."""

import json
import logging
from typing import Any

from recipe.retool.env.calls import Session, Tool, ToolResult
from recipe.retool.tools.result import recorded_result_text

logger = logging.getLogger(__name__)


def as_tool(verl_tool: Any) -> Tool:
    """Our own tools stand in their verl adapter's attribute ``tool``; others are wrapped."""
    own = getattr(verl_tool, "tool", None)
    return own if own is not None else ForeignTool(verl_tool)


class ForeignTool:
    """A ``BaseTool`` or function tool that verl loaded from somebody else's config.

    Args:
        tool: The tool.
    """

    def __init__(self, tool: Any) -> None:
        self._tool = tool

    async def call(self, arguments: Any, session: Session) -> ToolResult:
        """One call with the life cycle of verl's own loop, but without ``agent_data``; an error is a text."""
        if not isinstance(arguments, dict):
            return ToolResult("Invalid arguments: they must be a JSON object.", "bad_arguments:not_object")
        try:
            text = await self._run(arguments, session)
        except Exception as error:
            logger.warning("tool %s failed: %s", self._tool.name, error)
            told = recorded_result_text(f"Error executing tool {self._tool.name!r}: {error}")
            return ToolResult(told, "error")
        return ToolResult(recorded_result_text(text), "ok", empty=not text.strip())

    async def _run(self, arguments: dict[str, Any], session: Session) -> str:
        if hasattr(self._tool, "call"):  # verl's FunctionTool: no life cycle
            return _text_of(await self._tool.call(arguments))
        given = (session.given.get(self._tool.name) or {}).get("create_kwargs") or {}
        instance, _ = await self._tool.create(create_kwargs=given)
        try:
            response, _, _ = await self._tool.execute(instance, arguments)
        finally:
            await self._tool.release(instance)
        return _text_of(response)


def _text_of(answer: Any) -> str:
    """The text in what a tool returned: a ToolResponse, a tuple that begins with one, text, or any value."""
    if isinstance(answer, tuple):
        answer = answer[0]
    text = getattr(answer, "text", answer)
    if text is None:
        return ""
    return text if isinstance(text, str) else json.dumps(text, ensure_ascii=False, default=str)
