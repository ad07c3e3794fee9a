"""Does a dialogue that grew token by token read as the chat template writes it as a whole?

Rollouts only ever append (token in, token out). Whoever renders the finished dialogue again, another trainer
or a server, gets other tokens where the template changes earlier turns: Qwen3's drops the
thinking of turns before the last question, for example. Here that difference is measured.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from recipe.retool.tools.schema import TOOL_NAME

Message = dict[str, Any]
_SHOWN = 40  # tokens of a text that is reported


class Turn(NamedTuple):
    """What a model wrote, and what tools or a user said to it; the last turn has no answer."""

    message: Message  # of role "assistant", as a data set would hold it
    text: str  # the same as the model writes it, without the end of the turn
    answers: tuple[Message, ...] = ()


@dataclass(frozen=True)
class Drift:
    """Where the two differ.

    Attributes:
        position: The first differing token, counted from 0.
        tokens: Tokens between the common beginning and the common end, of the longer of the two.
        total: Tokens of the dialogue that grew.
        grown: Text of the dialogue that grew, from there on.
        whole: Text of the dialogue rendered as a whole, from there on.
    """

    position: int
    tokens: int
    total: int
    grown: str
    whole: str


def compare(grown: Sequence[int], whole: Sequence[int], decode: Callable[[list[int]], str]) -> Drift | None:
    """The difference between two token sequences; None when they are equal."""
    if list(grown) == list(whole):
        return None
    shorter = min(len(grown), len(whole))
    start = next((n for n in range(shorter) if grown[n] != whole[n]), shorter)
    end = next((n for n in range(shorter - start) if grown[-1 - n] != whole[-1 - n]), shorter - start)
    texts = [decode(list(ids[start : start + _SHOWN])) for ids in (grown, whole)]
    return Drift(start, max(len(grown), len(whole)) - start - end, len(grown), *texts)


def grow(
    tokenizer: Any,
    builder: Any,
    prompt: Sequence[Message],
    turns: Sequence[Turn],
    schemas: Sequence[Mapping[str, Any]] | None = None,
) -> list[int]:
    """The tokens of a dialogue as a rollout makes them, to the end-of-turn token of the last turn.

    Args:
        tokenizer: With a chat template.
        builder: ``build_initial_tokens`` and ``merge_context_tokens``, as verl's continuous-token builders.
        prompt: The messages before the model's first turn.
        turns: At least one.
        schemas: Schemas of the tools.
    """
    messages = list(prompt)
    ids = list(builder.build_initial_tokens(messages, tools=schemas))
    for turn in turns:
        ids += [*tokenizer.encode(turn.text, add_special_tokens=False), tokenizer.eos_token_id]
        messages.append(turn.message)
        if turn.answers:
            after = [*messages, *turn.answers]
            ids = list(builder.merge_context_tokens(messages, after, ids, tools=schemas).token_ids)
            messages = after
    return ids


def dialogue_drift(
    tokenizer: Any,
    builder: Any,
    prompt: Sequence[Message],
    turns: Sequence[Turn],
    schemas: Sequence[Mapping[str, Any]] | None = None,
    template_kwargs: Mapping[str, Any] | None = None,
) -> Drift | None:
    """How the dialogue that grew differs from the chat template's rendering of the finished one.

    Args:
        tokenizer: See ``grow``.
        builder: See ``grow``.
        prompt: See ``grow``.
        turns: See ``grow``.
        schemas: See ``grow``.
        template_kwargs: Further arguments of the chat template; the builder's are its own.
    """
    grown = grow(tokenizer, builder, prompt, turns, schemas)
    messages = [*prompt, *(m for turn in turns for m in (turn.message, *turn.answers))]
    found = tokenizer.apply_chat_template(
        messages, tools=schemas, add_generation_prompt=False, tokenize=True, **(template_kwargs or {})
    )
    whole = list(found["input_ids"] if isinstance(found, Mapping) else found)
    while whole and whole[-1] != tokenizer.eos_token_id and tokenizer.eos_token_id in whole:
        whole.pop()  # what follows the last end of a turn is never generated
    return compare(grown, whole, tokenizer.decode)


def _talk(thought: str, again: bool) -> tuple[list[Message], list[Turn]]:
    """A question, a call, its output, an answer; and, if asked again, another answer."""
    mind = f"<think>\n{thought}\n</think>\n\n" if thought else ""
    call = {"type": "function", "function": {"name": TOOL_NAME, "arguments": {"code": "print(6*7)"}}}
    body = f'{{"name": "{TOOL_NAME}", "arguments": {{"code": "print(6*7)"}}}}'
    written = f"{mind}<tool_call>\n{body}\n</tool_call>"
    # Templates write a newline between a text and a call.
    first: Message = {"role": "assistant", "content": mind.removesuffix("\n"), "tool_calls": [call]}
    last: Message = {"role": "assistant", "content": f"{mind}42"}
    more: tuple[Message, ...] = ({"role": "user", "content": "Sure?"},) if again else ()
    turns = [Turn(first, written, ({"role": "tool", "content": "42"},)), Turn(last, f"{mind}42", more)]
    if again:
        turns.append(Turn(last, f"{mind}42"))
    return [{"role": "user", "content": "What is 6*7?"}], turns


# The dialogues that templates are tried with.
DIALOGUES: Mapping[str, tuple[list[Message], list[Turn]]] = {
    "one question": _talk("", False),
    "one question, thinking": _talk("hm", False),
    "two questions": _talk("", True),
    "two questions, thinking": _talk("hm", True),
}
