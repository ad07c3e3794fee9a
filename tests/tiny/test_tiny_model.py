"""The tiny tokenizer and its chat template."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.retool.tiny import arithmetic
from recipe.retool.tiny.model import build_tokenizer
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA

TOOLS = [CODE_INTERPRETER_SCHEMA]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return build_tokenizer()


@settings(max_examples=50, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_survives_the_tokenizer(tokenizer: Any, text: str) -> None:
    import unicodedata

    text = unicodedata.normalize("NFC", text)  # Qwen2's tokenizer normalises
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_each_digit_is_one_token(tokenizer: Any) -> None:
    assert len(tokenizer("9801")["input_ids"]) == 4


def test_generation_prompt_is_a_prefix_of_the_dialogue(tokenizer: Any) -> None:
    messages = arithmetic.sft_messages(arithmetic.Problem(57, "*", 83), laborious=True)
    whole = tokenizer.apply_chat_template(messages, tools=TOOLS, return_dict=False)
    for turn in (1, 3):
        prompt = tokenizer.apply_chat_template(
            messages[:turn], tools=TOOLS, add_generation_prompt=True, return_dict=False
        )
        assert whole[: len(prompt)] == prompt


def test_training_the_tokenizer_twice_gives_the_same_ids(tokenizer: Any) -> None:
    assert build_tokenizer().get_vocab() == tokenizer.get_vocab()
