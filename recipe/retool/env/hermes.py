"""Hermes tool calls: JSON between ``<tool_call>`` tags, several in a turn; Qwen2.5's and Qwen3's format."""

import contextlib
import json
import re
from collections.abc import Sequence

from recipe.retool.env.base import ToolEnv
from recipe.retool.env.calls import INCOMPLETE, MALFORMED, ParsedCall

OPEN, CLOSE = "<tool_call>", "</tool_call>"
# strict=False: models write code with raw newlines inside JSON strings.
_JSON = json.JSONDecoder(strict=False)
_BLANKS = re.compile(r"\s*")
_EXAMPLE = '{"name": "<tool>", "arguments": {...}}'


class HermesEnv(ToolEnv):
    """``retool.env.name=hermes``: the tools' answers are turns of role ``tool``."""

    name = "hermes"

    def extract_tool_calls(self, raw_response: str) -> list[ParsedCall]:
        """Each ``<tool_call>`` block; a block that is no call keeps its place with a problem."""
        calls = []
        start = raw_response.find(OPEN)
        while start >= 0:
            body = start + len(OPEN)
            end = _end_of_call(raw_response, body)
            if end < 0:
                calls.append(_incomplete(start))
                break
            calls.append(parse_call(raw_response[body:end], start))
            start = raw_response.find(OPEN, end + len(CLOSE))
        return calls

    def format_tool_response(self, texts: Sequence[str]) -> str:
        """As the chat templates write the contents of tool turns, without the marks of the turn."""
        return "\n".join(f"<tool_response>\n{text}\n</tool_response>" for text in texts)


def _end_of_call(text: str, body: int) -> int:
    """Where the closing tag begins; -1 without one. A tag inside a string of the JSON closes nothing."""
    with contextlib.suppress(ValueError, RecursionError):
        value = _BLANKS.match(text, body).end()  # type: ignore[union-attr]
        after = _BLANKS.match(text, _JSON.raw_decode(text, value)[1]).end()  # type: ignore[union-attr]
        if text.startswith(CLOSE, after):
            return after
    return text.find(CLOSE, body)


def parse_call(body: str, start: int = 0) -> ParsedCall:
    """The call in the text between two tags; never raises."""
    try:
        call = _JSON.decode(body)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else "it cannot be read"
        return _malformed(start, f"not valid JSON ({reason})")
    if not isinstance(call, dict):
        return _malformed(start, "not a JSON object")
    name = call.get("name")
    if not isinstance(name, str) or not name.strip():
        return _malformed(start, "'name' is missing")
    if "arguments" not in call:
        return _malformed(start, "'arguments' is missing")
    arguments = call["arguments"]
    if isinstance(arguments, str):  # arguments encoded twice, as OpenAI's API writes them
        with contextlib.suppress(ValueError, RecursionError):  # the tool says what it wants instead
            arguments = _JSON.decode(arguments)
    return ParsedCall(start, name.strip(), arguments)


def _malformed(start: int, reason: str) -> ParsedCall:
    message = f"[the tool call could not be read: {reason}; write {_EXAMPLE}]"
    return ParsedCall(start, problem=MALFORMED, message=message)


def _incomplete(start: int) -> ParsedCall:
    message = f"[the tool call was not closed: write {_EXAMPLE} between its tags]"
    return ParsedCall(start, problem=INCOMPLETE, message=message)
