"""The figures of a run now and at its start, as rows of text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from recipe.retool.report.behaviour import PREFIX
from recipe.retool.report.finding_limits import FIRST_STEPS
from recipe.retool.report.series import Metrics, Point, series

_TESTING = "timing_s/testing"
STEP = "timing_s/step"
RECENT_STEPS = 20  # what a step takes is told from so many


@dataclass(frozen=True)
class Rate:
    """A row of the table."""

    name: str
    now: str
    first: str
    change: str


def _percent(value: float) -> str:
    return f"{value:.1%}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.2f}"


def _seconds(value: float) -> str:
    return f"{value:.1f} s" if abs(value) >= 1 else f"{1000 * value:.0f} ms"


_ROWS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("accuracy", f"{PREFIX}accuracy", _percent),
    ("reward", "critic/score/mean", _number),
    ("tool-call rate", f"{PREFIX}tool_call_rate", _percent),
    ("code pass rate", f"{PREFIX}code_pass_rate", _percent),
    ("response tokens", f"{PREFIX}response_tokens", _number),
    ("turns", f"{PREFIX}turns_per_response", _number),
    ("truncated", f"{PREFIX}truncated_rate", _percent),
    ("void turns", f"{PREFIX}void_turn_rate", _percent),
    ("parse failures", f"{PREFIX}parse_failure_rate", _percent),
    ("sandbox p50", f"{PREFIX}call_seconds_p50", _seconds),
    ("sandbox p95", f"{PREFIX}call_seconds_p95", _seconds),
    ("SFT loss", "train/loss", _number),
    ("validation loss", "val/loss", _number),
    ("gradient norm", "train/grad_norm", _number),
)


def span(points: Sequence[Any]) -> int:
    """How many steps the last and the first figures are means of; never the same step twice."""
    return max(1, min(FIRST_STEPS, len(points) // 2))


def rates(metrics: Metrics) -> list[Rate]:
    """A row for each figure that the run has."""
    found = []
    for name, key, shown in _ROWS:
        points = series(metrics, key)
        if not points:
            continue
        many = span(points)
        now, first = (fmean(value for _, value in part) for part in (points[-many:], points[:many]))
        alone = len(points) == 1
        found.append(
            Rate(
                name, shown(now), "" if alone else shown(first), "" if alone else _change(now - first, shown)
            )
        )
    return found


def _change(difference: float, shown: Callable[[float], str]) -> str:
    text = f"{100 * abs(difference):.1f} points" if shown is _percent else shown(abs(difference))
    nothing = not any(digit in text for digit in "123456789")
    return text if nothing else ("-" if difference < 0 else "+") + text


def step_seconds(metrics: Metrics) -> float | None:
    """Seconds from one step to the next by verl's clocks, validation included; None without them.

    The mean of the recent steps, so that a validation at every tenth of them counts by a tenth.
    """
    steps = series(metrics, STEP)[-RECENT_STEPS:]
    testing = dict(series(metrics, _TESTING))
    return fmean(value + testing.get(step, 0.0) for step, value in steps) if steps else None


def longest_pause(metrics: Metrics) -> float:
    """Seconds of the longest validation so far: so much longer than others a step may take."""
    return max((value for _, value in series(metrics, _TESTING)), default=0.0)


def slowest_parts(metrics: Metrics, count: int) -> str:
    """``gen 13 s (68%), update_actor 3.3 s (17%)`` of the last step; empty without timings."""
    steps = series(metrics, STEP)
    if not steps or steps[-1][1] <= 0:
        return ""
    step, whole = steps[-1]
    parts: list[tuple[str, float]] = []
    for key in metrics[step]:
        name = key.removeprefix("timing_s/")
        value: list[Point] = series({step: metrics[step]}, key)
        # "agent_loop/..." are parts of "gen", validation follows the step.
        if key.startswith("timing_s/") and "/" not in name and key not in (STEP, _TESTING) and value:
            parts.append((name, value[0][1]))
    parts.sort(key=lambda part: -part[1])
    return ", ".join(f"{name} {value:.1f} s ({value / whole:.0%})" for name, value in parts[:count])


def validations(metrics: Metrics, count: int) -> list[str]:
    """``aime_2024 avg@32: step 0 24.1%, step 10 26.0%``: a line a data set, its last validations."""
    found: dict[str, list[str]] = {}
    for step in sorted(metrics):
        for key in metrics[step]:
            source, _, samples = key.removeprefix("val-core/").partition("/acc/mean@")
            points = series({step: metrics[step]}, key)
            if key.startswith("val-core/") and samples and points:
                heading = f"{source.rsplit('/', 1)[-1]} avg@{samples}"
                found.setdefault(heading, []).append(f"step {step} {points[0][1]:.1%}")
    return [f"{heading}: {', '.join(words[-count:])}" for heading, words in found.items()]
