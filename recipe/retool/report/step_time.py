"""Where the seconds of a training step go."""

from collections.abc import Mapping, Sequence
from typing import Any

from recipe.retool.report.figure_table import TIME, VERL
from recipe.retool.report.run_data import RunData
from recipe.retool.report.why import why
from recipe.retool.reward.values import as_number

_STEP = "timing_s/step"
# verl's timers by part; validation ("testing") lies outside of timing_s/step.
PARTS: Mapping[str, tuple[str, ...]] = {
    "generate and tools": ("gen",),
    "reward": ("reward",),
    "log-probabilities": ("old_log_prob", "ref", "values"),
    "update": ("update_actor", "update_critic"),
    "weight sync": ("update_weights", "switch_to_trainer", "switch_wait", "switch_to_rollout"),
    "checkpoint": ("save_checkpoint",),
}
REST = "rest"


def step_time(row: Mapping[str, Any]) -> dict[str, float] | None:
    """Seconds of a step by part; they sum up to ``timing_s/step``. None for a row without it."""
    whole = as_number(row.get(_STEP))
    if whole is None:
        return None
    found = {
        part: sum(as_number(row.get(f"timing_s/{name}")) or 0.0 for name in names)
        for part, names in PARTS.items()
    }
    return {**found, REST: max(0.0, whole - sum(found.values()))}


def step_time_chart(runs: Sequence[RunData]) -> dict[str, Any]:
    """Stacked over the steps for one run; the mean step of each of several runs."""
    series: list[dict[str, Any]] = []
    reasons: dict[str, str] = {}
    names = [*PARTS, REST]
    for place, run in enumerate(runs):
        rows = {step: parts for step, row in run.metrics.items() if (parts := step_time(row)) is not None}
        if not rows:
            reasons[run.label] = why("metrics", run)
        series += [
            {"run": place, "line": number, "set": "training", "x": list(rows),
             "y": [parts[name] for parts in rows.values()]}
            for number, name in enumerate(names)
            if any(parts[name] for parts in rows.values())
        ]  # fmt: skip
    return {
        "id": "step-time", "section": TIME, "title": "Step time", "unit": "seconds", "kind": "stack",
        "definition": "Seconds of a training step by part. Tools run inside generation; a reward that is "
        "computed by the agent loop does, too. Validation is not part of a step.",
        "source": "verl: timing_s/*", "url": VERL, "lines": names, "series": series, "reasons": reasons,
        "log": False,
    }  # fmt: skip
