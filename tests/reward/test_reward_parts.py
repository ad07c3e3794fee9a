"""The reward functions, one by one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.errors import ConfigError
from recipe.retool.reward.facts import Facts, counters_of
from recipe.retool.reward.parts import (
    BUILT_IN,
    boxed_format,
    code_executed,
    correctness,
    length,
    outcome,
    overlong,
    tool_bonus,
)

COUNTED = ("response_tokens", "model_tokens", "tool_calls", "tool_ok", "sandbox_unavailable")
counts = st.floats(0, 1e6)
facts = st.builds(
    Facts,
    correct=st.booleans(),
    boxed=st.booleans(),
    tool_turns=st.floats(0, 1e6),
    max_response_length=st.integers(1, 100_000),
    counters=st.fixed_dictionaries(dict.fromkeys(COUNTED, counts)).map(counters_of),
)
RANGES = {
    "correctness": (0, 1), "outcome": (-1, 1), "tool_bonus": (0, 0.4), "format": (0, 1),
    "code_executed": (0, 1), "length": (-1, 0), "overlong": (-1, 0),
}  # fmt: skip


def counted(limit: int = 100, **counters: float) -> Facts:
    return Facts(correct=True, max_response_length=limit, counters=counters_of(counters))


@pytest.mark.parametrize("name", BUILT_IN)
@given(facts)
def test_a_value_lies_in_the_range_of_the_docs(name: str, given_facts: Facts) -> None:
    low, high = RANGES[name]
    assert low <= BUILT_IN[name](given_facts) <= high


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_function_says_its_formula_and_its_range(name: str) -> None:
    assert "Range" in (BUILT_IN[name].__doc__ or "")


def test_right_and_wrong() -> None:
    right, wrong = Facts(correct=True), Facts(correct=False)
    assert [correctness(right), correctness(wrong), outcome(right), outcome(wrong)] == [1.0, 0.0, 1.0, -1.0]


def test_format_is_the_box() -> None:
    assert (boxed_format(Facts(False, boxed=True)), boxed_format(Facts(True))) == (1.0, 0.0)


@pytest.mark.parametrize(
    ("turns", "parameters", "expected"),
    [(0, {}, 0.0), (1, {}, 0.1), (3, {}, 0.3), (4, {}, 0.4), (50, {}, 0.4), (2, {"per_turn": 0.2}, 0.4),
     (50, {"cap": -0.2}, 0.8), (50, {"cap": -1.0}, 0.0), (50, {"per_turn": 0.0}, 0.0)],
)  # fmt: skip
def test_tool_bonus_of_a_wrong_answer(turns: int, parameters: dict[str, float], expected: float) -> None:
    assert tool_bonus(Facts(False, tool_turns=turns), **parameters) == pytest.approx(expected)


@given(st.floats(0, 1e6), st.floats(0, 10), st.floats(-1, 0.99))
def test_with_outcome_a_wrong_answer_never_beats_the_cap(turns: float, per_turn: float, cap: float) -> None:
    wrong = Facts(False, tool_turns=turns)
    assert outcome(wrong) + tool_bonus(wrong, per_turn=per_turn, cap=cap) <= cap + 1e-12


@pytest.mark.parametrize(
    ("counters", "share", "any_call"),
    [({}, 0.0, 0.0), ({"tool_calls": 2}, 0.0, 0.0), ({"tool_calls": 4, "tool_ok": 1}, 0.25, 1.0),
     ({"tool_calls": 3, "tool_ok": 1, "sandbox_unavailable": 2}, 1.0, 1.0),
     ({"tool_calls": 2, "sandbox_unavailable": 2}, 0.0, 0.0)],
)  # fmt: skip
def test_code_executed(counters: dict[str, float], share: float, any_call: float) -> None:
    given_facts = counted(**counters)
    assert (code_executed(given_facts), code_executed(given_facts, any_call=True)) == (share, any_call)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [(0, 0.0), (16384, 0.0), (17408, -0.25), (18432, -0.5), (20480, -1.0), (30000, -1.0)],
)
def test_overlong_is_equation_13_of_dapo(tokens: int, expected: float) -> None:
    given_facts = counted(20480, response_tokens=tokens)
    assert overlong(given_facts, buffer=4096) == expected
    assert overlong(given_facts) == expected  # the default buffer is the paper's share
    assert overlong(given_facts, factor=0.5) == expected / 2


@pytest.mark.parametrize(
    ("model", "response", "free", "expected"),
    [(0, 50, 0, -0.5), (25, 90, 0, -0.25), (25, 90, 25, 0.0), (60, 90, 20, -0.5), (500, 500, 0, -1.0)],
)
def test_length_counts_what_the_model_wrote(model: int, response: int, free: int, expected: float) -> None:
    assert length(counted(model_tokens=model, response_tokens=response), free=free) == expected


@pytest.mark.parametrize(
    ("function", "parameters"),
    [(tool_bonus, {"per_turn": -0.1}), (tool_bonus, {"cap": 1.0}), (tool_bonus, {"cap": -1.5}),
     (overlong, {"buffer": 101}), (overlong, {"buffer": -1}), (overlong, {"factor": -1}),
     (length, {"free": 100}), (length, {"free": -1})],
)  # fmt: skip
def test_a_parameter_out_of_range_is_named(function: Any, parameters: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(parameters))):
        function(counted(), **parameters)


@pytest.mark.parametrize("function", [length, overlong])
def test_a_price_of_length_needs_the_limit(function: Any) -> None:
    with pytest.raises(ConfigError, match="max_response_length is not told"):
        function(counted(limit=0))
