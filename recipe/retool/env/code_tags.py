"""The paper's own format: code between ``<code>`` tags, its output between ``<interpreter>`` tags.

ReTool (arXiv 2504.11536, section 2.2): generation pauses at ``</code>``, the code is run, and its output goes
on in the same turn of the model.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recipe.retool.env.base import Decode, Message, ToolEnv
from recipe.retool.env.calls import INCOMPLETE, ParsedCall
from recipe.retool.tools.schema import TOOL_NAME

OPEN, CLOSE = "<code>", "</code>"
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
        """Each ``<code>`` block, as a call of the code interpreter."""
        calls = []
        start = raw_response.find(OPEN)
        while start >= 0:
            body = start + len(OPEN)
            end = raw_response.find(CLOSE, body)
            if end < 0:
                message = f"[the code was not closed: end it with {CLOSE.replace('<', '<' + chr(92))}]"
                calls.append(ParsedCall(start, TOOL_NAME, problem=INCOMPLETE, message=message))
                break
            calls.append(ParsedCall(start, TOOL_NAME, {"code": raw_response[body:end]}))
            start = raw_response.find(OPEN, end + len(CLOSE))
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
        opened = text.find(OPEN)
        if opened < 0:
            return len(ids)
        if text.find(CLOSE, opened) < 0:
            ended = bool(ids) and ids[-1] == eos_id
            return len(ids) - ended  # a reply on the unclosed code follows in the same turn
        low, high = 1, len(ids)  # the first prefix that holds the whole tag
        while low < high:
            middle = (low + high) // 2
            part = decode(ids[:middle])
            if part.find(CLOSE, max(part.find(OPEN), 0)) >= 0 and OPEN in part:
                high = middle
            else:
                low = middle + 1
        return low
