"""Findings: silent on steady runs, at the right step for planted faults, never an exception."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.watch import finding_limits as limit
from recipe.retool.watch.findings import KINDS, Finding, findings

Run = dict[int, dict[str, Any]]
LONGEST_TEXT = (
    150  # two rows of a terminal of 80 columns, kind and steps included, are what most find room in
)
NAN = float("nan")


def steady(steps: int, wobble: float = 0.0) -> Run:
    """A healthy run; every figure moves by at most ``wobble`` of itself."""
    level = {
        "retool/accuracy": 0.5,
        "retool/tool_call_rate": 0.8,
        "retool/parse_failure_rate": 0.05,
        "retool/void_turn_rate": 0.03,
        "retool/truncated_rate": 0.1,
        "val-aux/some/set/void_turns/mean@2": 0.05,
        "val-aux/some/set/truncated/mean@2": 0.04,
        "val-aux/some/set/model_turns/mean@2": 2.0,
        "retool/sandbox_unavailable_rate": 0.0,
        "retool/dropped_rate": 0.0,
        "critic/score/mean": 0.2,
        "critic/score/max": 1.0,
        "critic/score/min": -1.0,
        "actor/loss": -0.05,
        "actor/grad_norm": 0.4,
        "train/grad_norm": 0.4,
        "actor/entropy": 0.4,
        "training/rollout_probs_diff_mean": 0.006,
        "rollout_corr/k3_kl": 0.001,
        "retool/mismatch/k3_mean/turn_2": 0.001,
        "timing_s/step": 30.0,
        "timing_s/gen": 20.0,
    }
    return {
        step: {
            key: value * (1 + wobble * math.sin(step * (1 + number)))
            for number, (key, value) in enumerate(level.items())
        }
        for step in range(1, steps + 1)
    }


def kinds(run: Run) -> set[str]:
    return {finding.kind for finding in findings(run)}


@given(st.integers(0, 80), st.floats(0, 0.3))
def test_a_steady_run_has_none(steps: int, wobble: float) -> None:
    assert findings(steady(steps, wobble)) == []


# What is planted, over how many steps, and the finding it must make.
FAULTS: list[tuple[str, dict[str, Any], int]] = [
    ("tools_lost", {"retool/tool_call_rate": 0.01}, limit.IN_A_ROW),
    ("accuracy_lost", {"retool/accuracy": 0.05}, limit.IN_A_ROW),
    ("accuracy_zero", {"retool/accuracy": 0.0}, limit.ZERO_ACCURACY_STEPS),
    ("not_finite", {"actor/grad_norm": None}, 1),
    ("not_finite", {"critic/score/mean": NAN}, 1),
    ("not_finite", {"actor/loss": float("-inf")}, 1),
    ("not_finite", {"train/loss": float("inf")}, 1),
    ("gradient_spike", {"actor/grad_norm": 30.0}, 1),
    ("gradient_spike", {"train/grad_norm": 30.0}, limit.IN_A_ROW),
    ("entropy_collapse", {"actor/entropy": 0.01}, limit.IN_A_ROW),
    ("entropy_explosion", {"actor/entropy": 3.0}, limit.IN_A_ROW),
    ("mismatch", {"training/rollout_probs_diff_mean": 0.08}, limit.IN_A_ROW),
    ("mismatch", {"rollout_corr/k3_kl": 0.08}, limit.IN_A_ROW),
    ("mismatch", {"retool/mismatch/k3_mean/turn_2": 0.08}, limit.IN_A_ROW),
    ("no_variance", {"critic/score/max": -1.0, "critic/score/min": -1.0}, limit.NO_VARIANCE_STEPS),
    ("slow_step", {"timing_s/step": 300.0}, 1),
    ("sandbox_unavailable", {"retool/sandbox_unavailable_rate": 0.02}, 1),
    ("dropped", {"retool/dropped_rate": 0.2}, 1),
    ("truncated", {"retool/truncated_rate": 0.6}, limit.IN_A_ROW),
    ("void_turns", {"retool/void_turn_rate": 0.4}, limit.IN_A_ROW),
    ("validation_void", {"val-aux/some/set/void_turns/mean@2": 0.5}, 1),
    ("parse_failures", {"retool/parse_failure_rate": 0.5}, limit.IN_A_ROW),
]


def test_every_kind_is_planted_below() -> None:
    assert {kind for kind, _, _ in FAULTS} == set(KINDS)


@pytest.mark.parametrize(("kind", "fault", "lasts"), FAULTS)
@given(at=st.integers(10, 25), more=st.integers(0, 5), wobble=st.floats(0, 0.2))
def test_a_planted_fault_is_found_where_it_begins(
    kind: str, fault: dict[str, Any], lasts: int, at: int, more: int, wobble: float
) -> None:
    run = steady(50, wobble)
    end = at + lasts + more
    for step in range(at, end):
        run[step] |= fault
    found = [finding for finding in findings(run) if finding.kind == kind]
    assert [finding.step for finding in found] == [at]
    assert found[0].last <= end - 1


@pytest.mark.parametrize(("kind", "fault", "lasts"), [one for one in FAULTS if one[2] > 1])
def test_fewer_steps_are_noise(kind: str, fault: dict[str, Any], lasts: int) -> None:
    run = steady(50)
    for step in range(20, 20 + lasts - 1):
        run[step] |= fault
    assert kind not in kinds(run)


@pytest.mark.parametrize(("kind", "fault", "lasts"), FAULTS)
def test_texts_are_short_sentences(kind: str, fault: dict[str, Any], lasts: int) -> None:
    run = steady(50)
    for step in range(20, 20 + lasts):
        run[step] |= fault
    for finding in findings(run):
        assert 20 < len(finding.text) <= LONGEST_TEXT
        assert "\n" not in finding.text
        assert "!" not in finding.text


def test_a_run_that_never_called_a_tool_lost_none() -> None:
    run = steady(40)
    for data in run.values():
        data["retool/tool_call_rate"] = 0.0
    assert "tools_lost" not in kinds(run)


def test_two_faults_far_apart_are_two_findings() -> None:
    run = steady(60)
    for step in (20, 21, 50):
        run[step]["retool/dropped_rate"] = 0.5
    assert [(one.step, one.last) for one in findings(run)] == [(20, 21), (50, 50)]


def test_a_checkpoint_is_no_slow_step() -> None:
    run = steady(40)
    run[30] |= {"timing_s/step": 330.0, "timing_s/save_checkpoint": 300.0}
    assert findings(run) == []


def test_entropy_of_the_update_stands_in_where_the_trainer_logs_no_other() -> None:
    run = steady(40)
    for step, data in run.items():
        del data["actor/entropy"]
        data["actor/entropy_loss"] = 0.4 if step < 30 else 0.001
    assert [(one.kind, one.step) for one in findings(run)] == [("entropy_collapse", 30)]


def test_the_last_turn_of_a_truncated_answer_is_no_void_one() -> None:
    run = steady(30)
    run[20] |= {"val-aux/some/set/void_turns/mean@2": 0.5, "val-aux/some/set/truncated/mean@2": 0.5}
    assert findings(run) == []


def test_a_validation_counts_until_the_next_one() -> None:
    run = steady(30)
    for step, data in run.items():
        for key in [key for key in data if key.startswith("val-aux/") and step not in (10, 20)]:
            del data[key]
    run[20]["val-aux/some/set/void_turns/mean@2"] = 0.4
    assert [(one.kind, one.step, one.last) for one in findings(run)] == [("validation_void", 20, 30)]


ODD = st.one_of(
    *(st.none(), st.booleans(), st.floats(), st.integers(), st.text(max_size=4), st.just(10**400)),
    *(st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=2), st.none(), max_size=1)),
)  # fmt: skip
NAMES = st.sampled_from(
    [*steady(1)[1], "train/loss", "retool/mismatch/k3_mean/", "val-core/x/acc/mean@1", ""]
)


@given(st.dictionaries(st.integers(-3, 40), st.dictionaries(NAMES, ODD, max_size=8), max_size=30))
def test_nothing_in_a_file_is_an_exception(run: Run) -> None:
    found = findings(run)
    assert all(isinstance(one, Finding) and one.kind in KINDS for one in found)
    assert all(one.step in run and one.last in run and one.step <= one.last for one in found)


@given(st.integers(1, 40), st.randoms(use_true_random=False))
def test_the_order_of_the_mapping_does_not_matter(steps: int, drawn: Any) -> None:
    run = steady(steps, 0.2)
    run[steps]["retool/dropped_rate"] = 1.0
    order = list(run)
    drawn.shuffle(order)
    assert findings({step: run[step] for step in order}) == findings(run)
