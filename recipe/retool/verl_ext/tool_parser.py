"""Our formats as tool parsers of verl, for its own ``tool_agent`` (``rollout.multi_turn.format``)."""

import json
from typing import Any

from verl.experimental.agent_loop.tool_parser import FunctionCall, ToolParser

from recipe.retool.env.code_tags import CodeTagsEnv


@ToolParser.register("retool")
class CodeTagsToolParser(ToolParser):
    """``<code>`` blocks as calls of the code interpreter (``multi_turn.format=retool``)."""

    async def extract_tool_calls(
        self, responses_ids: list[int], tools: Any = None
    ) -> tuple[str, list[FunctionCall]]:
        """The text without its code blocks, and the blocks as calls."""
        text = self.tokenizer.decode(responses_ids)
        calls = [call for call in CodeTagsEnv().extract_tool_calls(text) if not call.problem]
        content = text[: calls[0].start] if calls else text
        return content, [FunctionCall(name=c.name, arguments=json.dumps(c.arguments)) for c in calls]
