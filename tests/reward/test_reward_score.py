"""The formula, the keys and the inputs of compute_score."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.env.counters import COUNTERS
from recipe.retool.errors import ConfigError
from recipe.retool.reward.facts import tool_turns
from recipe.retool.reward.parts import BUILT_IN
from recipe.retool.reward.score import compute_score, gold_text
from recipe.retool.reward.settings import RewardSettings

RIGHT, WRONG = "\\boxed{34}", "\\boxed{35}"
odd_values = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=4)
    | st.lists(st.integers(), max_size=2) | st.just(np.int64(3)) | st.just(np.array([1,
    2])) | st.just(object())
    | st.just({"a": 1}) | st.just(np.float32("nan")) | st.just(10**400)
)  # fmt: skip


def score(text: str, **info: Any) -> Any:
    """Score of a response against 34 with the model's text known."""
    return compute_score("test", "", "34", {"model_text": text, **info})["score"]


def test_right_answer_scores_one() -> None:
    assert score(RIGHT, num_turns=8) == 1.0


@pytest.mark.parametrize(
    ("num_turns", "expected"),
    [(0, -1.0), (1, -1.0), (2, -1.0), (3, -0.95), (4, -0.9), (8, -0.7), (10, -0.6), (16, -0.6), (1000, -0.6)],
)
def test_wrong_answer_gains_by_tool_turns_up_to_the_cap(num_turns: int, expected: float) -> None:
    assert score(WRONG, num_turns=num_turns) == pytest.approx(expected)


def test_bonus_off_is_the_papers_reward() -> None:
    info = {"model_text": WRONG, "num_turns": 8}
    assert compute_score("test", "", "34", info, parts={"outcome": 1})["score"] == -1.0


@given(st.booleans(), st.integers(-5, 100))
def test_the_default_is_the_reward_of_verl_recipe_to_the_last_bit(right: bool, num_turns: int) -> None:
    bonus = 0.1 * max(0.0, (num_turns - 2) / 2)
    assert score(RIGHT if right else WRONG, num_turns=num_turns) == (
        1.0 if right else min(-0.6, -1.0 + bonus)
    )


@pytest.mark.parametrize(("text", "expected"), [(WRONG, 0.0), (RIGHT, 1.0)])
def test_a_call_that_the_sandbox_did_not_answer_is_never_punished(text: str, expected: float) -> None:
    result = compute_score("test", "", "34", {"model_text": text, "sandbox_unavailable": 1})
    assert (result["score"], result["infra_failure"]) == (expected, 1.0)


def test_each_part_is_logged_without_its_weight() -> None:
    parts = {"outcome": 2, "tool_bonus": {"weight": 0.5, "per_turn": 0.2}, "format": 0}
    result = compute_score("test", "", "34", {"model_text": WRONG, "num_turns": 4}, parts=parts)
    logged = {key: result[f"reward_{key}"] for key in parts}
    assert logged == {"outcome": -1.0, "tool_bonus": pytest.approx(0.2), "format": 1.0}
    assert result["score"] == pytest.approx(-1.9)


@pytest.mark.parametrize(
    ("info", "turns"),
    [({}, 0), ({"num_turns": None}, 0), ({"num_turns": np.int32(6)}, 2), ({"tool_calls": 3}, 3),
     ({"num_turns": None, "tool_calls": 2}, 2), ({"num_turns": 4, "tool_calls": 9}, 1),
     ({"tool_calls": "many"}, 0)],
)  # fmt: skip
def test_tool_turns(info: dict[str, Any], turns: float) -> None:
    assert tool_turns(info) == turns


@pytest.mark.parametrize(
    ("ground_truth", "gold"),
    [("34", "34"), (" $34$ ", "34"), (34, "34"), (34.0, "34"), (0.5, "0.5"), (np.int64(34), "34"),
     (np.str_("34"), "34"),
     (np.float64(34), "34"), (2**53 + 1, "9007199254740993"), ("so \\boxed{34}.", "34"), (-3, "-3"),
     (None, ""),
     (float("nan"), ""), (float("inf"), ""), (True, ""), ([34, 35], ""), ({}, ""), (10**400, ""), (b"34",
     "")],
)  # fmt: skip
def test_gold_text(ground_truth: Any, gold: str) -> None:
    assert gold_text(ground_truth) == gold


def test_unusable_gold_scores_wrong_and_is_counted() -> None:
    result = compute_score("test", RIGHT, None)
    assert (result["acc"], result["gold_unusable"]) == (0.0, 1.0)


def test_loop_counters_pass_through_as_floats() -> None:
    info = {key: np.int64(2) for key in COUNTERS}
    result = compute_score("test", RIGHT, "34", info)
    assert {key: result[key] for key in COUNTERS} == dict.fromkeys(COUNTERS, 2.0)


def test_box_is_counted_as_format() -> None:
    boxed = [compute_score("test", text, "34")["format_ok"] for text in (RIGHT, WRONG, "Answer: 34", "")]
    assert boxed == [1.0, 1.0, 0.0, 0.0]


def test_equal_integers_vote_alike() -> None:
    preds = {
        compute_score("test", f"\\boxed{{{text}}}", "1")["pred"] for text in ("1,234", "'1234'", "01234.0")
    }
    assert preds == {"1234"}


def test_pred_is_short_and_printable() -> None:
    pred = compute_score("test", "\\boxed{\ud800\x00\x1b" + "x" * 10_000 + "}", "34")["pred"]
    assert isinstance(pred, str)
    assert len(pred) <= 256
    assert pred.isprintable()


def test_time_out_is_counted() -> None:
    result = compute_score("test", "\\boxed{9^{9^{9^{9}}}}", "34", answer_timeout=0.2)
    assert (result["acc"], result["answer_timeout"]) == (0.0, 1.0)


@given(
    odd_values,
    odd_values,
    st.dictionaries(st.sampled_from(["model_text", *COUNTERS]), odd_values),
    st.sampled_from([{}, {"parts": dict.fromkeys(BUILT_IN, 0.5), "max_response_length": 100}]),
)
def test_any_input_gives_the_same_keys_and_types(
    solution: Any, gold: Any, info: dict[str, Any], kwargs: dict[str, Any]
) -> None:
    result = compute_score(None, solution, gold, info, **kwargs)
    model = compute_score("test", RIGHT, "34", **kwargs)
    assert {key: type(value) for key, value in result.items()} == {k: type(v) for k, v in model.items()}


@given(odd_values)
def test_any_extra_info_is_survived(info: Any) -> None:
    assert compute_score("test", RIGHT, "34", info)["acc"] == 1.0


@pytest.mark.parametrize(
    "kwargs",
    [{"answer_timeout": 0}, {"answer_timeout": "5"}, {"answer_timeout": None},
     {"answer_timeout": float("nan")}, {"answer_workers": 0}, {"answer_workers": 1.5},
     {"answer_workers": True}, {"max_response_length": -1}, {"max_response_length": 0.5}, {"parts": []},
     {"parts": None}, {"parts": {}}],
)  # fmt: skip
def test_setting_out_of_range_names_its_key(kwargs: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(kwargs))):
        compute_score("test", RIGHT, "34", **kwargs)


def test_arguments_of_verl_are_ignored() -> None:
    assert compute_score("test", RIGHT, "34", None, reward_router_address="x", later=1)["acc"] == 1.0


def test_strict_check_finds_a_misspelt_setting() -> None:
    with pytest.raises(ConfigError, match="answer_timeot"):
        RewardSettings.from_kwargs({"answer_timeot": 5}, strict=True)


@pytest.mark.parametrize(("old", "new"), [("tool_bonus", "per_turn"), ("wrong_cap", "cap")])
def test_the_old_name_of_a_setting_is_refused_with_the_new_one(old: str, new: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"{old} has a new name: write reward_kwargs\.parts\.tool_bonus\.{new}"
    ):
        compute_score("test", RIGHT, "34", **{old: 0.1})


def test_verl_aggregates_every_key() -> None:
    metric_utils: Any = pytest.importorskip("verl.trainer.ppo.metric_utils")
    rows = [compute_score("aime", text, "34") for text in (RIGHT, WRONG, RIGHT, RIGHT)]
    infos = {key: [row[key] for row in rows] for key in rows[0]}
    metrics = metric_utils.process_validation_metrics(["aime"] * 4, ["q"] * 4, infos)["aime"]
    assert set(infos) - set(metrics) == {"pred"}
    assert metrics["acc"]["mean@4"] == 0.75
    assert "maj@4/mean" in metrics["acc"]
