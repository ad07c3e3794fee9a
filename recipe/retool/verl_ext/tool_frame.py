"""Tool turns without rendering a dialogue for each: the frame of the chat template around the tools' texts.

verl renders two made-up dialogues with all schemas for each tool turn. Here that is done once for each number
of texts, with marks in their places, and what stands around the marks is kept. The frame is only used when it
gives, for awkward texts too, exactly the tokens of verl's builder; otherwise the builder goes on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

_MARK = "\x00{}\x00"
_PROBES = ("42", " 1 \n\n2 ", "\n", "é中🙂 a\tb", "(no output)", "x" * 50, "1,234.5", ":", "  ")
_QUESTION = {"role": "user", "content": "question"}
_CALL = {"type": "function", "function": {"name": "tool", "arguments": {}}}


class ToolFrame:
    """Tokens of tool turns that follow an end-of-turn token.

    Args:
        tokenizer: The model's, with a chat template.
        builder: verl's, or ``SuffixBuilder``; what it gives is right.
        schemas: Schemas that the prompt shows.
        template_kwargs: ``data.apply_chat_template_kwargs``.
    """

    def __init__(
        self,
        tokenizer: Any,
        builder: Any,
        schemas: Sequence[Any] | None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._builder = builder
        self._schemas = schemas
        self._kwargs = dict(template_kwargs or {})
        self._parts: dict[int, list[str] | None] = {}

    def tokens(self, texts: Sequence[str]) -> list[int]:
        """The turn with these texts, one for each call, and the header of the model's next turn."""
        if len(texts) not in self._parts:
            self._parts[len(texts)] = self._checked(len(texts))
        parts = self._parts[len(texts)]
        return self._by_builder(texts) if parts is None else self._filled(parts, texts)

    def _checked(self, count: int) -> list[str] | None:
        """What stands around the texts; None when that does not give the builder's tokens."""
        marks = [_MARK.format(number) for number in range(count)]
        rest, parts = self._by_template(marks), []
        for mark in marks:
            part, found, rest = rest.partition(mark)
            if not found:
                return None
            parts.append(part)
        parts.append(rest)
        probes = ([probe, *(["7"] * (count - 1))] for probe in _PROBES)
        same = all(self._filled(parts, texts) == self._by_builder(texts) for texts in probes)
        return parts if same else None

    def _filled(self, parts: Sequence[str], texts: Sequence[str]) -> list[int]:
        filled = "".join(part + text for part, text in zip(parts, [*texts, ""], strict=True))
        return list(self._tokenizer.encode(filled, add_special_tokens=False))

    def _by_builder(self, texts: Sequence[str]) -> list[int]:
        before, after = _dialogue(texts)
        end = [self._tokenizer.eos_token_id]
        merged = self._builder.merge_context_tokens(before, after, end, tools=self._schemas)
        return list(merged.token_ids[1 - merged.removed_prefix_token_count :])

    def _by_template(self, texts: Sequence[str]) -> str:
        """The same as text: what follows the end of the model's turn; empty where there is no such end."""
        before, after = (
            self._render(messages, last) for messages, last in zip(_dialogue(texts), (0, 1), strict=True)
        )
        end = before.rfind(self._tokenizer.eos_token)
        if end < 0 or not after.startswith(before):
            return ""
        return after[end + len(self._tokenizer.eos_token) :]

    def _render(self, messages: Sequence[Any], prompt: int) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                messages,
                tools=self._schemas,
                add_generation_prompt=bool(prompt),
                tokenize=False,
                **self._kwargs,
            )
        )


def _dialogue(texts: Sequence[str]) -> tuple[list[Any], list[Any]]:
    """A dialogue up to the model's calls, and with these answers."""
    assistant = {"role": "assistant", "content": "", "tool_calls": [_CALL] * len(texts)}
    before = [_QUESTION, assistant]
    return before, [*before, *({"role": "tool", "content": text} for text in texts)]
