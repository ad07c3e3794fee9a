"""The tokens of a written dialogue, for supervised training: the same as a rollout would have made.

What is trained on is exactly what the model would have written: each turn from its first token after the
header of the turn to its end-of-turn token, that one included. (verl's own data set also trains on the
newline after it, which no model ever generates.)
"""

from collections.abc import Mapping, Sequence
from typing import Any

from recipe.retool.env.base import Message, ToolEnv
from recipe.retool.env.transcript import Transcript
from recipe.retool.errors import DataError

_QUESTION: Message = {"role": "user", "content": "question"}
_ANSWER: Message = {"role": "assistant", "content": "answer"}
_PROMPT_DIFFERS = "the chat template renders the prompt differently once there is an answer"


class Dialogues:
    """Turns dialogues into tokens with a mask.

    Args:
        tokenizer: With a chat template.
        env: The environment of the rollouts.
        template_kwargs: Further arguments of the chat template.
    """

    def __init__(
        self, tokenizer: Any, env: ToolEnv, template_kwargs: Mapping[str, Any] | None = None
    ) -> None:
        self._tokenizer = tokenizer
        self._env = env
        self._kwargs = dict(template_kwargs or {})
        self._headers: dict[str, tuple[list[int], list[int]]] = {}

    def tokens(
        self, messages: Sequence[Message], schemas: Sequence[Mapping[str, Any]] | None, **more: Any
    ) -> Transcript:
        """Prompt and response of one dialogue.

        Args:
            messages: From the prompt to the last turn of the assistant; tools answer in turns of role "tool".
            schemas: Schemas of the tools, as the data has them.
            more: Further arguments of the chat template for this dialogue.

        Raises:
            DataError: No turn of the assistant, or a chat template that these rules do not fit.
        """
        first = next((n for n, message in enumerate(messages) if message.get("role") == "assistant"), 0)
        if not first:
            raise DataError("a dialogue needs a prompt and then a turn of the assistant")
        prompt, shown = self._env.announce(messages[:first], schemas)
        rest = list(messages[first:])
        return (
            self._inline(prompt, rest, more) if self._env.inline else self._turns(prompt, shown, rest, more)
        )

    def _inline(self, prompt: list[Message], rest: list[Message], more: Mapping[str, Any]) -> Transcript:
        """Tool text goes on in the model's turn, which ends once, after the last words."""
        found = Transcript(self._render(prompt, None, True, more), _NO_LIMIT)
        encode, guard = self._tokenizer.encode, self._env.guard
        for number, message in enumerate(rest):
            text = str(message.get("content") or "")
            if message.get("role") == "tool":
                body = self._env.format_tool_response([guard(text)])
                found.add_tool(encode(body, add_special_tokens=False))
                continue
            if message.get("role") != "assistant":
                raise DataError(f"a turn of role {message.get('role')!r} inside the model's own turn")
            last = [self._tokenizer.eos_token_id] if number == len(rest) - 1 else []
            found.add_model([*encode(text, add_special_tokens=False), *last], None)
        return found

    def _turns(
        self,
        prompt: list[Message],
        shown: Sequence[Mapping[str, Any]] | None,
        rest: list[Message],
        more: Mapping[str, Any],
    ) -> Transcript:
        """The chat template writes all of it; the model's turns are found by their header and their end."""
        begin = self._render(prompt, shown, True, more)
        whole = self._render([*prompt, *map(self._guarded, rest)], shown, False, more)
        header, extra = self._header(more)
        bare = len(begin) - len(extra)
        if whole[:bare] != begin[:bare]:
            raise DataError(_PROMPT_DIFFERS)
        found = Transcript(begin, _NO_LIMIT)
        position, turns, end = bare, 0, self._tokenizer.eos_token_id
        while position < len(whole):
            if whole[position : position + len(extra)] == extra:
                position += len(extra)
            stop = _after(whole, [end], position)
            if whole[stop - 1] != end:
                raise DataError(f"the chat template does not end a turn with {self._tokenizer.eos_token!r}")
            found.add_model(whole[position:stop], None)
            position = _after(whole, header, stop)
            found.add_tool([*whole[stop:position], *(extra if position < len(whole) else [])])
            turns += 1
        wanted = sum(message.get("role") == "assistant" for message in rest)
        if turns != wanted:
            raise DataError(
                f"the chat template shows {turns} turns of the assistant, the dialogue has {wanted}"
            )
        return found

    def _guarded(self, message: Message) -> Message:
        if message.get("role") != "tool" or not isinstance(message.get("content"), str):
            return message
        return {**message, "content": self._env.guard(message["content"])}

    def _header(self, more: Mapping[str, Any]) -> tuple[list[int], list[int]]:
        """What a template writes before a turn of the model: always, and only where the model is to begin.

        The latter is Qwen3's empty thinking without ``enable_thinking``, which earlier turns do not show.
        """
        key = repr(sorted(more.items()))
        if key not in self._headers:
            self._headers[key] = self._new_header(more)
        return self._headers[key]

    def _new_header(self, more: Mapping[str, Any]) -> tuple[list[int], list[int]]:
        bare, asked = (self._render([_QUESTION], None, prompt, more) for prompt in (False, True))
        if asked[: len(bare)] != bare or len(asked) == len(bare):
            raise DataError("the chat template has no generation prompt")
        past = self._render([_QUESTION, _ANSWER, _QUESTION], None, False, more)
        if past[: len(bare)] != bare:
            raise DataError(_PROMPT_DIFFERS)
        shared = len(bare)
        while shared < min(len(asked), len(past)) and asked[shared] == past[shared]:
            shared += 1
        if shared == len(bare):
            raise DataError(
                "the chat template begins a turn of the assistant otherwise than its generation prompt"
            )
        return asked[len(bare) : shared], asked[shared:]

    def _render(
        self,
        messages: Sequence[Message],
        schemas: Sequence[Mapping[str, Any]] | None,
        prompt: bool,
        more: Mapping[str, Any],
    ) -> list[int]:
        kwargs = {**self._kwargs, **more}
        found = self._tokenizer.apply_chat_template(
            list(messages), tools=schemas, add_generation_prompt=prompt, tokenize=True, **kwargs
        )
        return list(found["input_ids"] if isinstance(found, Mapping) else found)


_NO_LIMIT = 1 << 62


def _after(ids: Sequence[int], part: Sequence[int], start: int) -> int:
    """Where the next ``part`` ends; the length of ``ids`` when there is none."""
    for position in range(start, len(ids) - len(part) + 1):
        if ids[position] == part[0] and list(ids[position : position + len(part)]) == list(part):
            return position + len(part)
    return len(ids)
