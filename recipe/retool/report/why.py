"""Why a run has no data for a figure, in words for the page."""

from collections.abc import Callable

from recipe.retool.records.files import look_up
from recipe.retool.report.run_data import RunData

_ACTOR = "actor_rollout_ref.actor"


def why(reason: str, run: RunData) -> str:
    """One sentence without the name of the run; ``reason`` is ``Figure.missing``."""
    if not run.steps and run.overall is not None and reason not in ("tools", "attempts", "several"):
        return "an evaluation has answers and no training steps"
    if not run.steps and run.validation and reason not in ("tools", "attempts", "several"):
        return "a validation, and no training step so far"
    return _REASONS[reason](run)


def _tools(run: RunData) -> str:
    if run.used_tools is False:
        extra = " (env=text has no tools)" if run.environment == "text" else ""
        return f"no tool call was run{extra}"
    return _counters(run) if run.used_tools is None else "nothing of it was counted"


def _attempts(run: RunData) -> str:
    return _counters(run) if run.used_tools is None else "no tool call was attempted"


def _counters(run: RunData) -> str:
    return (
        "neither the metrics nor the trajectories have the recipe's counters "
        "(they come from the agent loop retool_agent; training metrics need stack=verl_0_9)"
    )


def _metrics(run: RunData) -> str:
    if not run.metrics:
        return "no metrics file was found (metrics/attempt_N.jsonl, metrics.jsonl)"
    return "verl logged no such metric"


def _validation(run: RunData) -> str:
    if look_up(run.config, "trainer.test_freq") == -1:
        return "this run was not validated (trainer.test_freq=-1)"
    return "no validation was dumped or logged so far"


def _several(run: RunData) -> str:
    if run.validation or run.overall:
        return "one answer a problem: pass@1 and maj@1 are the accuracy above (rollout.val_kwargs.n sets k)"
    return _validation(run)


def _entropy(run: RunData) -> str:
    text = f"verl logged no entropy: {_ACTOR}.calculate_entropy=true makes it log actor/entropy_loss"
    if look_up(run.config, "algorithm.rollout_correction.bypass_mode"):
        text += (
            "; actor/entropy comes with the trainer's own log-probabilities, which "
            "algorithm.rollout_correction.bypass_mode=true leaves out"
        )
    return text


def _mismatch(run: RunData) -> str:
    if look_up(run.config, "algorithm.rollout_correction.bypass_mode"):
        return (
            "the trainer takes over the rollout's probabilities "
            "(algorithm.rollout_correction.bypass_mode=true), so there is nothing to compare"
        )
    if look_up(run.config, "actor_rollout_ref.rollout.calculate_log_probs") is False:
        return "the rollout returns no probabilities: actor_rollout_ref.rollout.calculate_log_probs=true"
    return _metrics(run)


_REASONS: dict[str, Callable[[RunData], str]] = {
    "tools": _tools,
    "attempts": _attempts,
    "counters": _counters,
    "metrics": _metrics,
    "validation": _validation,
    "several": _several,
    "entropy": _entropy,
    "mismatch": _mismatch,
}
