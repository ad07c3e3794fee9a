"""Tokens of the turns between the model's, for verl 0.6.1, which cannot make them without a drift.

The interface is that of verl 0.9.1's continuous-token builders (verl/utils/tokenizer/continuous_token.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
# A system message, so that no template puts its default there; thinking, because Qwen3's template shows the
# end of a turn differently with and without it once an answer follows. verl 0.9.1 does the same.
_QUESTION: list[Message] = [{"role": "system", "content": "system"}, {"role": "user", "content": "question"}]
_ASSISTANT: Message = {"role": "assistant", "content": "", "reasoning_content": "thought"}


@dataclass(frozen=True)
class Merged:
    """The tokens after a merge; fields as in verl's ``MergeResult``."""

    token_ids: list[int]
    removed_prefix_token_count: int = 0


class SuffixBuilder:
    """Renders tool turns as what they add to a made-up dialogue, so that nothing before them is touched.

    Args:
        tokenizer: With a chat template.
        template_kwargs: ``data.apply_chat_template_kwargs``.
    """

    def __init__(self, tokenizer: Any, template_kwargs: Mapping[str, Any] | None = None) -> None:
        self._tokenizer = tokenizer
        self._kwargs = dict(template_kwargs or {})

    def build_initial_tokens(
        self, messages: Sequence[Message], *, tools: Sequence[Any] | None = None
    ) -> list[int]:
        """The prompt, up to where the model begins to write."""
        return self._render(list(messages), tools, prompt=True)

    def merge_context_tokens(
        self,
        previous_messages: Sequence[Message],
        updated_messages: Sequence[Message],
        runtime_token_ids: Sequence[int],
        *,
        tools: Sequence[Any] | None = None,
    ) -> Merged:
        """All tokens, the appended tool messages and the beginning of the model's next turn included.

        Raises:
            ValueError: The chat template changes earlier turns when later ones come.
        """
        appended = list(updated_messages[len(previous_messages) :])
        call = {"type": "function", "function": {"name": "tool", "arguments": {}}}
        start = list(_QUESTION)
        if all(message.get("role") == "tool" for message in appended):
            start.append({**_ASSISTANT, "tool_calls": [call] * len(appended)})
        before = self._render(start, tools, prompt=False)
        after = self._render([*start, *appended], tools, prompt=True)
        if after[: len(before)] != before:
            raise ValueError("the chat template rewrites a turn of the model when a tool answers")
        return Merged(
            [*runtime_token_ids, *self._rest_of_turn(before, runtime_token_ids), *after[len(before) :]]
        )

    def _rest_of_turn(self, before: Sequence[int], runtime: Sequence[int]) -> list[int]:
        """What the template writes after a turn's end token: the model stops before it (Qwen: a newline)."""
        end = self._tokenizer.eos_token_id
        if end not in before or not runtime or runtime[-1] != end:
            return []
        last = len(before) - 1 - list(reversed(before)).index(end)
        return list(before[last + 1 :])

    def _render(self, messages: list[Message], tools: Sequence[Any] | None, prompt: bool) -> list[int]:
        found = self._tokenizer.apply_chat_template(
            messages, tools=tools, add_generation_prompt=prompt, tokenize=True, **self._kwargs
        )
        ids = found["input_ids"] if isinstance(found, Mapping) else found
        return list(ids)
