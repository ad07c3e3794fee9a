"""The mismatch of rollout and trainer, turn by turn."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.env.transcript import model_turns
from recipe.retool.verl_ext.turn_mismatch import (
    TURNS_TOLD_APART,
    install_turn_mismatch,
    turn_mismatch,
    turn_numbers,
)

MASKS = st.integers(1, 24).flatmap(
    lambda n: st.lists(st.lists(st.integers(0, 1), min_size=n, max_size=n), min_size=1, max_size=4)
)


@given(MASKS)
def test_turns_are_those_of_the_agent_loop(masks: list[list[int]]) -> None:
    numbers = turn_numbers(torch.tensor(masks))
    for mask, row in zip(masks, numbers.tolist(), strict=True):
        turns = model_turns(list(range(len(mask))), mask)
        wanted = {token: turn for turn, tokens in enumerate(turns, 1) for token in tokens}
        assert row == [wanted.get(token, 0) for token in range(len(mask))]


@given(MASKS, st.integers(0, 1000))
def test_equal_probabilities_differ_in_no_turn(masks: list[list[int]], seed: int) -> None:
    mask = torch.tensor(masks)
    logs = -torch.rand(mask.shape, generator=torch.Generator().manual_seed(seed))
    for name, value in turn_mismatch(logs, logs.clone(), mask).items():
        assert value == (1.0 if "ratio_max" in name else 0.0)


@given(MASKS, st.integers(0, 1000), st.floats(1e-9, 1.0))
def test_the_estimate_of_the_divergence_is_never_negative(
    masks: list[list[int]], seed: int, size: float
) -> None:
    mask = torch.tensor(masks)
    rollout, noise = torch.randn((2, *mask.shape), generator=torch.Generator().manual_seed(seed))
    found = turn_mismatch(rollout, rollout + size * noise, mask)
    assert all(value >= 0 for name, value in found.items() if "k3" in name)


def test_the_figures_of_two_turns() -> None:
    mask = torch.tensor([[1, 1, 0, 1, 0]])
    rollout = torch.tensor([[-1.0, -1.0, -50.0, -2.0, 0.0]])
    actor = torch.tensor([[-1.0, -0.5, 0.0, -2.5, -9.0]])
    found = turn_mismatch(rollout, actor, mask)
    assert found == pytest.approx(
        {
            "retool/mismatch/abs_logp_mean/turn_1": 0.25,
            "retool/mismatch/k3_mean/turn_1": (math.exp(0.5) - 1.5) / 2,
            "retool/mismatch/ratio_max/turn_1": math.exp(0.5),
            "retool/mismatch/abs_logp_mean/turn_2": 0.5,
            "retool/mismatch/k3_mean/turn_2": math.exp(-0.5) - 0.5,
            "retool/mismatch/ratio_max/turn_2": math.exp(-0.5),
        }
    )


def test_a_batch_without_a_trained_token_has_no_turn() -> None:
    assert turn_mismatch(torch.zeros(2, 3), torch.ones(2, 3), torch.zeros(2, 3)) == {}


def test_late_turns_are_told_together() -> None:
    mask = torch.tensor([[1, 0] * (TURNS_TOLD_APART + 3)])
    found = turn_mismatch(torch.zeros(mask.shape), torch.zeros(mask.shape), mask)
    assert len(found) == 3 * TURNS_TOLD_APART


def test_a_wild_difference_stays_finite() -> None:
    found = turn_mismatch(torch.tensor([[-1e9]]), torch.tensor([[0.0]]), torch.ones(1, 1))
    assert all(math.isfinite(value) for value in found.values())


def test_verl_logs_it_beside_its_own_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    from verl import DataProto
    from verl.trainer.ppo.v1 import trainer_base

    monkeypatch.setattr(trainer_base, "calculate_debug_metrics", trainer_base.calculate_debug_metrics)
    install_turn_mismatch()
    once = trainer_base.calculate_debug_metrics
    install_turn_mismatch()
    assert trainer_base.calculate_debug_metrics is once
    shape = (2, 3)
    data = DataProto.from_dict(
        {
            "rollout_log_probs": -torch.rand(shape),
            "old_log_probs": -torch.rand(shape),
            "response_mask": torch.tensor([[1, 1, 0], [1, 0, 1]]),
            "responses": torch.zeros(shape, dtype=torch.long),
        }
    )
    found = once(data)
    assert "training/rollout_probs_diff_mean" in found
    assert "retool/mismatch/k3_mean/turn_2" in found
