"""Keeps tool output from looking like markup: no printed text may end a tool's turn or begin another one.

A backslash goes after the first character of what looks like a tag or a special token of a chat format
(``</tool_response>`` becomes ``<\\/tool_response>``, ``<|im_end|>`` becomes ``<\\|im_end|>``). Doing it twice
changes nothing more.
"""

import re
from collections.abc import Iterable

_TAGS = "tool_response|tool_call|tools|interpreter|code|answer|think|s|start_of_turn|end_of_turn|bos|eos"
_MARKUP = re.compile(rf"<(?=\s*(?:/\s*)?(?:{_TAGS})\s*>|[|｜][^<>|｜\n]{{1,60}}[|｜]>)", re.IGNORECASE)


def defuse(text: str) -> str:
    """``text`` without the markup of any known chat format."""
    return _MARKUP.sub(r"<\\", text)


class Guard:
    """``defuse`` and, besides, whatever one tokenizer would turn into a single special token.

    Args:
        tokens: The tokens that a tokenizer holds beside its plain vocabulary.
    """

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        # A token of blanks or of one character cannot forge a turn, and could not be split.
        markup = sorted((token for token in tokens if len(token.strip()) > 1), key=len, reverse=True)
        self._tokens = re.compile("|".join(map(re.escape, markup))) if markup else None

    def __call__(self, text: str) -> str:
        """The text, defused."""
        text = defuse(text)
        if self._tokens is None:
            return text
        while (split := self._tokens.sub(lambda found: f"{found[0][0]}\\{found[0][1:]}", text)) != text:
            text = split  # what is left may spell another token
        return text
