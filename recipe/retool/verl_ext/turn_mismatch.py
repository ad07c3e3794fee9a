"""How far the log-probabilities of rollout and trainer lie apart, turn by turn.

verl compares them over the whole response (``calculate_debug_metrics``). With tools the later turns, which
begin after text that the model did not write, drift first (verl#5229), and an average over all hides that.
"""

from typing import Any

import torch

TURNS_TOLD_APART = 8  # later turns are counted as this one
_LOG_LIMIT = 20.0  # as in verl/trainer/ppo/rollout_corr_helper.py: exp() stays finite


def turn_numbers(mask: torch.Tensor) -> torch.Tensor:
    """Number of the model's turn for each token, from 1; 0 for tokens that are not the model's.

    Args:
        mask: (rows, tokens), 1 for the model's tokens. A turn is a run of them.

    Returns:
        (rows, tokens), int64.
    """
    own = mask.bool()
    before = torch.nn.functional.pad(own, (1, 0))[:, :-1]
    return (own & ~before).long().cumsum(dim=1) * own


def turn_mismatch(rollout: torch.Tensor, actor: torch.Tensor, mask: torch.Tensor) -> dict[str, float]:
    """Differences of log-probabilities for turn 1, 2, 3, ...

    With d = actor - rollout for each token that the rollout sampled: the mean absolute d; the estimate k3 of
    KL(rollout, actor), the mean of exp(d) - 1 - d (http://joschu.net/blog/kl-approx.html); the largest
    exp(d), which is what truncated importance sampling cuts.

    Args:
        rollout: (rows, tokens), log-probabilities by the rollout engine, in nats.
        actor: (rows, tokens), by the trainer before the update.
        mask: (rows, tokens), 1 for the model's tokens.

    Returns:
        ``retool/mismatch/{abs_logp_mean,k3_mean,ratio_max}/turn_{n}``; no turn without a token.
    """
    turns = turn_numbers(mask).clamp(max=TURNS_TOLD_APART)
    # In float64: exp(d) - 1 - d of small differences is lost in float32, and may come out below zero.
    difference = (actor.double() - rollout.double()).clamp(-_LOG_LIMIT, _LOG_LIMIT)
    found: dict[str, float] = {}
    for turn in range(1, int(turns.max()) + 1 if turns.numel() else 1):
        delta = difference[turns == turn]
        if delta.numel() == 0:
            continue
        figures = {
            "abs_logp_mean": delta.abs().mean(),
            "k3_mean": (delta.expm1() - delta).mean(),
            "ratio_max": delta.max().exp(),
        }
        found |= {f"retool/mismatch/{name}/turn_{turn}": value.item() for name, value in figures.items()}
    return found


def install_turn_mismatch() -> None:
    """Let verl's V1 trainer log :func:`turn_mismatch` with its own comparison.

    ``PPOTrainer._compute_old_log_prob`` is the only place that holds both tensors, and has no hook: the name
    ``calculate_debug_metrics`` of its module is replaced by a function that calls it and adds to its answer.
    It is called when the rollout returns log-probabilities and the trainer computes its own, that is unless
    ``algorithm.rollout_correction.bypass_mode`` is on.
    """
    from verl.trainer.ppo.v1 import trainer_base

    whole = trainer_base.calculate_debug_metrics
    if getattr(whole, "_by_turn", False):
        return

    def by_turn(data: Any) -> dict[str, Any]:
        batch = data.batch
        found = turn_mismatch(batch["rollout_log_probs"], batch["old_log_probs"], batch["response_mask"])
        return {**whole(data), **found}

    by_turn._by_turn = True  # type: ignore[attr-defined]
    trainer_base.calculate_debug_metrics = by_turn
