"""The paper's own format: code between ``<code>`` tags, its output between ``<interpreter>`` tags.

ReTool (arXiv 2504.11536, section 2.2): generation pauses at ``</code>``, the code is run, and its output goes
on in the same turn of the model.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from recipe.retool.env.base import Decode, Message, ToolEnv
from recipe.retool.env.calls import INCOMPLETE, MALFORMED, ParsedCall
from recipe.retool.tools.schema import TOOL_NAME

OPEN, CLOSE = "<code>", "</code>"
_TAG = re.compile(f"{OPEN}|{CLOSE}")
# The backslash is what the guard would put there.
_NO_END = r"[the code was not closed: end it with <\/code>]"
_NO_BEGIN = r"[no code was opened: begin it with <\code>]"
INSTRUCTION = (
    "Solve the problem step by step. Where a computation helps, write Python code like this:\n"
    "<code>\n```python\nprint(1 + 1)\n```\n</code>\n"
    "The code is run, and what it prints follows between <interpreter> and </interpreter>. "
    "Each piece of code is run on its own: print what you need.\n\n"
)


class CodeTagsEnv(ToolEnv):
    """``retool.env.name=retool``: one code block ends the turn, its output continues it."""

    name = "retool"
    inline = True

    @property
    def own_stop(self) -> tuple[str, ...]:
        """The end of a code block."""
        return (CLOSE,)

    def announce(
        self, messages: Sequence[Message], schemas: Sequence[Mapping[str, Any]] | None
    ) -> tuple[list[Message], None]:
        """The instruction goes before the last user message, once; no schema is shown."""
        text = INSTRUCTION if self.settings.instruction is None else self.settings.instruction
        prompt = [dict(message) for message in messages]
        users = [message for message in prompt if message.get("role") == "user"]
        question = users[-1].get("content") if users else None
        if isinstance(question, str) and not question.startswith(text):
            users[-1]["content"] = text + question
        return prompt, None

    def extract_tool_calls(self, raw_response: str) -> list[ParsedCall]:
        """Each ``<code>`` block, as a call of the code interpreter; an end without a begin is malformed."""
        calls, position = [], 0
        while (found := _TAG.search(raw_response, position)) is not None:
            start, body = found.span()
            end = body if found[0] == CLOSE else raw_response.find(CLOSE, body)
            position = end + len(CLOSE) if found[0] == OPEN else body
            if found[0] == CLOSE:
                calls.append(ParsedCall(start, TOOL_NAME, problem=MALFORMED, message=_NO_BEGIN))
            elif end < 0:
                calls.append(ParsedCall(start, TOOL_NAME, problem=INCOMPLETE, message=_NO_END))
                break
            else:
                calls.append(ParsedCall(start, TOOL_NAME, {"code": raw_response[body:end]}))
        return calls

    def format_tool_response(self, texts: Sequence[str]) -> str:
        """The outputs of the blocks, in order."""
        return "".join(f"\n<interpreter>\n{text}\n</interpreter>\n" for text in texts)

    def process_responses_ids(self, ids: Sequence[int], decode: Decode, eos_id: int | None = None) -> int:
        """Up to the token that completes the first ``</code>``.

        An engine without stop strings goes on after it, with an output of its own invention or with the
        end-of-turn token, neither of which may stand before the interpreter's output.
        """
        text = decode(ids)
        if CLOSE not in text:
            ended = OPEN in text and ids[-1] == eos_id
            return len(ids) - ended  # a reply on the unclosed code follows in the same turn
        low, high = 1, len(ids)  # the first prefix that holds the whole tag
        while low < high:
            middle = (low + high) // 2
            if CLOSE in decode(ids[:middle]):
                high = middle
            else:
                low = middle + 1
        return low
