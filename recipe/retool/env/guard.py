"""Keeps tool output from looking like markup: no printed text may end a tool's turn or begin another one.

A backslash goes after the first character of what looks like a tag or a special token of a chat format
(``</tool_response>`` becomes ``<\\/tool_response>``, ``<|im_end|>`` becomes ``<\\|im_end|>``). Doing it twice
changes nothing more.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

_TAGS = "tool_response|tool_call|tools|interpreter|code|answer|think|s|start_of_turn|end_of_turn|bos|eos"
_MARKUP = re.compile(rf"<(?=\s*(?:/\s*)?(?:{_TAGS})\s*>|[|｜][^<>|｜\n]{{1,60}}[|｜]>)", re.IGNORECASE)


def defuse(text: str) -> str:
    """``text`` without the markup of any known chat format."""
    return _MARKUP.sub(r"<\\", text)


def _same(text: str) -> str:
    return text


class Guard:
    """``defuse`` and, besides, whatever one tokenizer would turn into a single special token.

    Args:
        tokens: The tokens that a tokenizer holds beside its plain vocabulary.
        normalize: What the tokenizer does to a text before it looks for some of them.
    """

    def __init__(self, tokens: Iterable[str] = (), normalize: Callable[[str], str] = _same) -> None:
        # A token of blanks or of one character cannot forge a turn, and could not be split.
        markup = {form for token in tokens for form in (token, normalize(token)) if len(form.strip()) > 1}
        longest_first = sorted(markup, key=len, reverse=True)
        self._tokens = re.compile("|".join(map(re.escape, longest_first))) if markup else None
        self._mark = _unused(markup)
        self._normalize = normalize

    @classmethod
    def of(cls, tokenizer: Any) -> "Guard":
        """The guard of a tokenizer of ``transformers``."""
        normalizer = getattr(getattr(tokenizer, "backend_tokenizer", None), "normalizer", None)
        return cls(tokenizer.get_added_vocab(), normalizer.normalize_str if normalizer else _same)

    def __call__(self, text: str) -> str:
        """The text, defused."""
        while (changed := self._once(text)) != text:
            text = changed  # a split may leave what looks like markup
        return text

    def _once(self, text: str) -> str:
        text = defuse(text)
        if self._tokens is None:
            return text
        text = self._split(text, self._tokens)
        plain = self._normalize(text)
        # Full-width letters, say, that the tokenizer reads as plain ones.
        return self._split(defuse(plain), self._tokens) if self._tokens.search(plain) else text

    def _split(self, text: str, tokens: re.Pattern[str]) -> str:
        while (split := tokens.sub(lambda found: f"{found[0][0]}{self._mark}{found[0][1:]}", text)) != text:
            text = split  # tokens may overlap
        return text


def _unused(tokens: Iterable[str]) -> str:
    """A backslash, or else a character that no token holds: a split must not make another token."""
    used = set("".join(tokens))
    return next(mark for mark in ("\\", " ", *map(chr, range(0xA1, 0x10000))) if mark not in used)
