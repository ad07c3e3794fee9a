"""The options of what is not trained on."""

from typing import Any

import pytest

from recipe.retool.env.masks import UNAVAILABLE_CHOICES, MaskOptions
from recipe.retool.errors import ConfigError


def test_no_config_is_the_default() -> None:
    assert MaskOptions.from_config(None) == MaskOptions() == MaskOptions(False, False, "drop")


@pytest.mark.parametrize("choice", UNAVAILABLE_CHOICES)
def test_each_choice_is_read(choice: str) -> None:
    assert MaskOptions.from_config({"unavailable": choice, "truncated": True}) == MaskOptions(
        True, False, choice
    )


@pytest.mark.parametrize(
    ("key", "value"), [("truncated", 1), ("void_turns", "yes"), ("unavailable", "skip"), ("void_turn", True)]
)
def test_a_bad_option_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=key):
        MaskOptions.from_config({key: value})
