"""The figures of a run now and at its start, as rows of text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from recipe.retool.records.behaviour import PREFIX
from recipe.retool.watch.finding_limits import FIRST_STEPS
from recipe.retool.watch.series import Metrics, series


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


def span(points: Sequence[object]) -> int:
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
