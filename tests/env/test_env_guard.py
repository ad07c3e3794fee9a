"""No text of a tool becomes a special token."""

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recipe.retool.env.guard import Guard, defuse

LETTERS = "<>|[]/\\ab ▁"
markup = st.text(LETTERS, min_size=2, max_size=6).filter(lambda token: len(token.strip()) > 1)
vocabularies = st.lists(markup, max_size=6)
texts = st.text(LETTERS, max_size=30)


@given(vocabularies, texts)
@example(["\\\\"], "\\\\")
@example(["<\\", "\\b"], "<\\b")
@example(["||"], "<||>")
def test_no_token_is_left(tokens: list[str], text: str) -> None:
    guarded = Guard(tokens)(text)
    assert not any(token in guarded for token in tokens)


@given(vocabularies, texts, st.data())
def test_no_token_is_left_of_texts_made_of_tokens(tokens: list[str], text: str, data: st.DataObject) -> None:
    pieces = st.sampled_from(
        [*tokens, *(token[1:] for token in tokens), *(token[:-1] for token in tokens), text]
    )
    made = "".join(data.draw(st.lists(pieces, max_size=8)))
    guarded = Guard(tokens)(made)
    assert not any(token in guarded for token in tokens)
    assert Guard(tokens)(guarded) == guarded


@given(vocabularies, texts)
@example(["||"], "<||>")
def test_twice_is_once(tokens: list[str], text: str) -> None:
    guard = Guard(tokens)
    assert guard(guard(text)) == guard(text)


@given(st.text())
def test_plain_text_is_left_alone(text: str) -> None:
    plain = text.replace("<", "")
    assert Guard(["<|im_end|>"])(plain) == plain


@pytest.mark.parametrize(
    "mark",
    [
        "<|im_end|>",
        "<｜end▁of▁sentence｜>",
        "</tool_response>",
        "< / Interpreter >",
        "<think>",
        "<start_of_turn>",
    ],
)
def test_known_markup_is_broken_and_readable(mark: str) -> None:
    assert mark not in defuse(f"a{mark}b")
    assert defuse(f"a{mark}b").replace("\\", "") == f"a{mark}b"
    assert defuse(defuse(mark)) == defuse(mark)


@given(st.lists(markup.map(str.upper), min_size=1, max_size=3), texts)
def test_what_the_tokenizer_reads_as_a_token_is_one(tokens: list[str], text: str) -> None:
    guarded = Guard(tokens, str.lower)(text + tokens[0] + tokens[0].swapcase())
    assert not any(token.lower() in guarded.lower() for token in tokens)


def test_full_width_markup_is_broken_where_the_tokenizer_folds_it() -> None:
    from tokenizers.normalizers import NFKC

    fold = NFKC().normalize_str
    assert "[INST]" not in fold(Guard(["[INST]"], fold)("［INST］"))


def test_a_large_output_takes_no_time() -> None:
    guard = Guard([f"<unused{n}>" for n in range(300)])
    began = time.monotonic()
    guard("<unused" * 15_000)
    assert time.monotonic() - began < 10
