"""The figures of tool use: what they are, and that nothing makes them lie."""

import math
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.env.counters import COUNTERS, new_counters
from recipe.retool.records.behaviour import NAMES, behaviour


def trajectory(seed: int) -> dict[str, Any]:
    """Counters as the agent loop may have them: parts never exceed their whole."""
    drawn = random.Random(seed)

    def upto(most: float) -> float:
        return float(drawn.randint(0, int(most)))

    row: dict[str, Any] = new_counters()
    row["acc"] = upto(1)
    row["score"] = row["acc"] * 2 - 1
    row["model_turns"] = 1 + upto(8)
    row["void_turns"] = upto(row["model_turns"])
    row["model_chars"], row["response_tokens"] = 1 + upto(500), 1 + upto(500)
    row["model_tokens"] = upto(row["response_tokens"])
    row["tool_calls"] = calls = upto(6)
    row["sandbox_unavailable"] = upto(calls)
    row["tool_ok"] = upto(calls - row["sandbox_unavailable"])
    row["tool_errors"] = calls - row["sandbox_unavailable"] - row["tool_ok"]
    for key in ("tool_timeouts", "tool_bad_arguments", "tool_name_errors"):
        row[key] = upto(row["tool_errors"])
    row["tool_empty"], row["code_lines"] = upto(calls), upto(30) if calls else 0.0
    row["first_call_chars"] = upto(row["model_chars"]) if calls else 0.0
    for key in ("tool_unknown", "tool_malformed", "tool_incomplete", "tool_not_run"):
        row[key] = upto(3)
    row["truncated"], row["masked"] = upto(1), upto(1)
    row["call_seconds"] = [drawn.uniform(0, 30) for _ in range(int(calls))]
    return row


ROWS = st.lists(st.integers(0, 2**32).map(trajectory), max_size=8)
RATES = {name for name in NAMES if "rate" in name} | {"retool/accuracy", "retool/code_start"}


def row(**values: Any) -> dict[str, Any]:
    return {**new_counters(), "acc": 0.0, "score": -1.0, **values}


@given(ROWS, ROWS)
def test_rates_lie_between_0_and_1(rows: list[dict[str, Any]], dropped: list[dict[str, Any]]) -> None:
    found = behaviour(rows, dropped)
    assert all(-1e-12 <= found[name] <= 1 + 1e-12 for name in RATES & found.keys())


@given(ROWS, ROWS)
def test_every_figure_is_a_finite_number_with_a_documented_name(
    rows: list[dict[str, Any]], dropped: list[dict[str, Any]]
) -> None:
    found = behaviour(rows, dropped)
    assert found.keys() <= set(NAMES)
    assert all(isinstance(value, float) and math.isfinite(value) for value in found.values())


@given(ROWS.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(rows))))
def test_the_order_of_trajectories_does_not_matter(pair: tuple[Any, Any]) -> None:
    assert behaviour(pair[0]) == pytest.approx(behaviour(pair[1]))


@given(ROWS)
def test_every_trajectory_twice_is_the_same_policy(rows: list[dict[str, Any]]) -> None:
    assert behaviour(rows + rows) == pytest.approx(behaviour(rows))


@given(ROWS, ROWS)
def test_what_was_dropped_counts_as_infrastructure_alone(
    rows: list[dict[str, Any]], dropped: list[dict[str, Any]]
) -> None:
    apart = {"retool/dropped", "retool/dropped_rate", "retool/sandbox_unavailable_rate"}
    with_it, without = behaviour(rows, dropped), behaviour(rows)
    assert {k: v for k, v in with_it.items() if k not in apart} == {
        k: v for k, v in without.items() if k not in apart
    }


def test_the_figures_of_two_trajectories() -> None:
    right = row(
        acc=1.0,
        score=1.0,
        model_turns=2.0,
        model_chars=100.0,
        first_call_chars=25.0,
        response_tokens=60.0,
        model_tokens=40.0,
        tool_calls=2.0,
        tool_ok=2.0,
        code_lines=6.0,
        call_seconds=[0.1, 0.4],
    )
    wrong = row(
        model_turns=4.0,
        model_chars=200.0,
        first_call_chars=150.0,
        response_tokens=20.0,
        model_tokens=20.0,
        tool_calls=2.0,
        tool_errors=1.0,
        tool_name_errors=1.0,
        sandbox_unavailable=1.0,
        tool_empty=1.0,
        code_lines=2.0,
        tool_malformed=1.0,
        void_turns=1.0,
        truncated=1.0,
        over_turns=1.0,
        call_seconds=[0.2, 9.0],
    )
    found = behaviour([right, wrong])
    assert found == pytest.approx(
        {
            "retool/accuracy": 0.5,
            "retool/calls_per_response": 2.0,
            "retool/turns_per_response": 3.0,
            "retool/response_tokens": 40.0,
            "retool/model_tokens": 30.0,
            "retool/tool_call_rate": 1.0,
            "retool/truncated_rate": 0.5,
            "retool/truncated_by_tokens_rate": 0.0,
            "retool/truncated_by_turns_rate": 0.5,
            "retool/truncated_by_calls_rate": 0.0,
            "retool/truncated_by_seconds_rate": 0.0,
            "retool/masked_rate": 0.0,
            "retool/code_lines_per_call": 2.0,
            "retool/code_pass_rate": 2 / 3,  # three calls were answered
            "retool/code_pass_rate_right": 1.0,
            "retool/code_pass_rate_wrong": 0.0,
            "retool/empty_output_rate": 0.25,
            "retool/name_error_rate": 0.25,
            "retool/timeout_rate": 0.0,
            "retool/parse_failure_rate": 0.2,  # one of five
            "retool/malformed_rate": 0.2,
            "retool/unknown_tool_rate": 0.0,
            "retool/bad_arguments_rate": 0.0,
            "retool/void_turn_rate": 1 / 6,
            "retool/code_start": 0.5,  # a quarter and three quarters
            "retool/sandbox_unavailable_rate": 0.5,
            "retool/dropped": 0.0,
            "retool/dropped_rate": 0.0,
            "retool/call_seconds_p50": 0.2,
            "retool/call_seconds_p95": 9.0,
        }
    )
    assert set(found) == set(NAMES)


def test_the_docs_name_every_figure_and_no_other() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "metrics.rst").read_text()
    tables = text[text.index("Tool use\n") : text.index("Dynamic sampling\n")]
    assert sorted(re.findall(r"^``(retool/\w+)``", tables, re.MULTILINE)) == sorted(NAMES)


def test_a_rate_without_a_denominator_is_left_out() -> None:
    found = behaviour([row(model_turns=1.0)])
    assert found["retool/tool_call_rate"] == 0.0
    assert not {"retool/code_pass_rate", "retool/timeout_rate", "retool/code_start"} & found.keys()


@given(ROWS, st.sampled_from(sorted({*COUNTERS, "acc", "score"})), st.sampled_from([None, float("nan"), "x"]))
def test_a_counter_that_is_not_there_takes_figures_away_and_breaks_none(
    rows: list[dict[str, Any]], key: str, instead: Any
) -> None:
    found = behaviour([{**one, key: instead} for one in rows])
    whole = behaviour(rows)
    assert all(found[name] == whole[name] for name in found)
