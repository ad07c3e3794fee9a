"""Turns of tools as tokens: the builder for verl 0.6.1 is that of verl 0.9.1, and where templates drift."""

from typing import Any

import pytest

pytest.importorskip("verl")

from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import QUESTION, tokenizer_of

from recipe.retool.env.stability import DIALOGUES, Drift, compare, dialogue_drift
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA
from recipe.retool.verl_ext.context_tokens import SuffixBuilder

TOKENIZERS = {style: tokenizer_of(style) for style in ("tiny", "plain", "qwen2_5", "qwen3")}
SCHEMAS = [CODE_INTERPRETER_SCHEMA]
ids = st.lists(st.integers(0, 300), max_size=5)


def theirs(style: str, **kwargs: Any) -> Any:
    from verl.utils.tokenizer.continuous_token import QwenContinuousTokenBuilder

    return QwenContinuousTokenBuilder(TOKENIZERS[style], chat_template_kwargs=kwargs)


@settings(max_examples=40)
@given(
    st.sampled_from(sorted(TOKENIZERS)),
    st.lists(st.text(max_size=20), min_size=1, max_size=3),
    ids,
    st.booleans(),
    st.sampled_from([{}, {"enable_thinking": False}, {"enable_thinking": True}]),
    st.sampled_from([None, SCHEMAS]),
)
def test_tool_turns_equal_those_of_verl(
    style: str, answers: list[str], before: list[int], ended: bool, kwargs: dict[str, bool], schemas: Any
) -> None:
    tokenizer = TOKENIZERS[style]
    ours = SuffixBuilder(tokenizer, kwargs)
    runtime = [*before, *([tokenizer.eos_token_id] if ended else [])]
    previous = [*QUESTION, {"role": "assistant", "content": "x"}]
    updated = [*previous, *({"role": "tool", "content": answer} for answer in answers)]
    found = ours.merge_context_tokens(previous, updated, runtime, tools=schemas)
    wanted = theirs(style, **kwargs).merge_context_tokens(previous, updated, runtime, tools=schemas)
    assert found.token_ids == wanted.token_ids
    assert found.removed_prefix_token_count == wanted.removed_prefix_token_count
    assert ours.build_initial_tokens(QUESTION, tools=schemas) == theirs(style, **kwargs).build_initial_tokens(
        QUESTION, tools=schemas
    )


def test_a_template_that_rewrites_a_turn_is_refused() -> None:
    tokenizer = tokenizer_of("tiny")
    role = "{{- m.role + messages | length | string }}"
    tokenizer.chat_template = "{%- for m in messages %}" + role + "{%- endfor %}"
    previous = [*QUESTION, {"role": "assistant", "content": "x"}]
    after = [*previous, {"role": "tool", "content": "1"}]
    with pytest.raises(ValueError, match="rewrites a turn"):
        SuffixBuilder(tokenizer).merge_context_tokens(previous, after, [])


def drift(style: str, dialogue: str, **kwargs: Any) -> Drift | None:
    builder = theirs(style, **kwargs)
    return dialogue_drift(TOKENIZERS[style], builder, *DIALOGUES[dialogue], SCHEMAS, kwargs)


@pytest.mark.parametrize("style", ["tiny", "plain", "qwen2_5"])
@pytest.mark.parametrize("dialogue", list(DIALOGUES))
def test_templates_that_only_append_have_no_drift(style: str, dialogue: str) -> None:
    assert drift(style, dialogue) is None


def test_thinking_of_one_question_has_no_drift() -> None:
    assert drift("qwen3", "one question, thinking") is None


def test_thinking_before_the_last_question_is_dropped_and_measured() -> None:
    found = drift("qwen3", "two questions, thinking")
    assert found is not None
    assert found.grown.startswith("<think>")
    assert found.whole.startswith("<tool_call>")
    assert found.tokens > 2 * len(TOKENIZERS["qwen3"].encode("<think>\nhm\n</think>\n\n"))


@pytest.mark.parametrize("kwargs", [{}, {"enable_thinking": False}])
def test_empty_thinking_drifts_with_and_without_it(kwargs: dict[str, bool]) -> None:
    found = drift("qwen3", "one question", **kwargs)
    assert found is not None
    texts = (found.grown, found.whole)
    assert sum(text.startswith("<think>\n\n</think>") for text in texts) == 1


@given(ids, ids, ids, ids)
def test_a_difference_is_found_where_it_is(
    start: list[int], one: list[int], two: list[int], end: list[int]
) -> None:
    grown, whole = [*start, *one, *end], [*start, *two, *end]
    found = compare(grown, whole, str)
    if grown == whole:
        assert found is None
        return
    assert found is not None
    assert grown[: found.position] == whole[: found.position]
    assert grown[found.position : found.position + 1] != whole[found.position : found.position + 1]
    assert found.tokens <= max(len(one), len(two))
    assert found.total == len(grown)
