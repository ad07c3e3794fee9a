"""All that the metrics of a run give to look at, computed once for each new step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from recipe.retool.reward.values import as_number
from recipe.retool.watch.findings import Finding, findings
from recipe.retool.watch.rates import Rate, rates, span
from recipe.retool.watch.series import Metrics, series

_TIMING = "timing_s/"
_STEP = "timing_s/step"
_TESTING = "timing_s/testing"
_VALIDATION = "val-core/"
_RECENT_STEPS = 20  # what a step takes is told from so many
_LATEST = 3  # validations, and parts of a step
_CURVES = (
    ("reward", "critic/score/mean"),
    ("accuracy", "retool/accuracy"),
    ("SFT loss", "train/loss"),
)


@dataclass(frozen=True)
class Figures:
    """What is drawn of the metrics.

    Attributes:
        newest: The last step.
        rates: Rows of the table.
        span: How many steps its columns are means of.
        curves: Values by label, over all steps.
        timing: The slowest parts of the last step, in words.
        validations: A line for each data set.
        step_seconds: From one step to the next; None without verl's clocks.
        longest_pause: Seconds of the longest validation.
        findings: Everything that was found, in the order of steps.
    """

    newest: int = 0
    rates: Sequence[Rate] = ()
    span: int = 1
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    timing: str = ""
    validations: Sequence[str] = ()
    step_seconds: float | None = None
    longest_pause: float = 0.0
    findings: Sequence[Finding] = ()


def figures(metrics: Metrics) -> Figures:
    """Go through all steps once."""
    curves = {label: [value for _, value in series(metrics, key)] for label, key in _CURVES}
    return Figures(
        newest=max(metrics, default=0),
        rates=rates(metrics),
        span=span([step for step in metrics if step > 0]),
        curves={label: values for label, values in curves.items() if values},
        timing=slowest_parts(metrics, _LATEST),
        validations=validations(metrics, _LATEST),
        step_seconds=step_seconds(metrics),
        longest_pause=max((value for _, value in series(metrics, _TESTING)), default=0.0),
        findings=findings(metrics),
    )


def step_seconds(metrics: Metrics) -> float | None:
    """Seconds from one step to the next by verl's clocks, validation included; None without them.

    The mean of the recent steps, so that a validation at every tenth of them counts by a tenth.
    """
    steps = series(metrics, _STEP)[-_RECENT_STEPS:]
    testing = dict(series(metrics, _TESTING))
    return fmean(value + testing.get(step, 0.0) for step, value in steps) if steps else None


def slowest_parts(metrics: Metrics, count: int) -> str:
    """``gen 13 s (68%), update_actor 3.3 s (17%)`` of the last step; empty without timings."""
    steps = series(metrics, _STEP)
    if not steps or steps[-1][1] <= 0:
        return ""
    step, whole = steps[-1]
    parts: list[tuple[str, float]] = []
    for key in metrics[step]:
        name, value = key.removeprefix(_TIMING), as_number(metrics[step][key])
        # "agent_loop/..." are parts of "gen", validation follows the step.
        if key.startswith(_TIMING) and "/" not in name and key not in (_STEP, _TESTING) and value is not None:
            parts.append((name, value))
    parts.sort(key=lambda part: -part[1])
    return ", ".join(f"{name} {value:.1f} s ({value / whole:.0%})" for name, value in parts[:count])


def validations(metrics: Metrics, count: int) -> list[str]:
    """``aime_2024 avg@32: step 0 24.1%, step 10 26.0%``: a line a data set, its last validations."""
    found: dict[str, list[str]] = {}
    for step in sorted(metrics):
        for key in metrics[step]:
            if not key.startswith(_VALIDATION):
                continue
            source, _, samples = key.removeprefix(_VALIDATION).partition("/acc/mean@")
            value = as_number(metrics[step][key])
            if samples and value is not None:
                heading = f"{source.rsplit('/', 1)[-1]} avg@{samples}"
                found.setdefault(heading, []).append(f"step {step} {value:.1%}")
    return [f"{heading}: {', '.join(words[-count:])}" for heading, words in found.items()]
