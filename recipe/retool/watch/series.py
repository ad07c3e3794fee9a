"""One figure over the steps of a run."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from recipe.retool.reward.values import as_number
from recipe.retool.watch.finding_limits import (
    EARLIER_STEPS,
    FIRST_STEPS,
    IN_A_ROW,
    LEAST_EARLIER,
    SAME_STRETCH,
)

Metrics = Mapping[int, Mapping[str, Any]]  # by step, as of read_metrics
Point = tuple[int, float]


def series(metrics: Metrics, key: str) -> list[Point]:
    """(step, value) in the order of steps, where the value is a finite number."""
    there = ((step, metrics[step].get(key)) for step in sorted(metrics))
    found = ((step, as_number(value)) for step, value in there if value is not None)
    return [(step, value) for step, value in found if value is not None]


def first_level(points: Sequence[Point]) -> float:
    """Median of the first steps; 0 without any."""
    return median(value for _, value in points[:FIRST_STEPS]) if points else 0.0


def earlier_levels(points: Sequence[Point]) -> list[float | None]:
    """For each point the median of those before it; None where there are too few."""
    values = [value for _, value in points]
    return [
        median(values[max(0, index - EARLIER_STEPS) : index]) if index >= LEAST_EARLIER else None
        for index in range(len(values))
    ]


def best_levels(points: Sequence[Point]) -> list[float]:
    """For each point the highest level (median of a few neighbours) reached before it; 0 at the start."""
    values = [value for _, value in points]
    best, found = 0.0, []
    for index in range(len(values)):
        if index >= IN_A_ROW:
            best = max(best, median(values[max(0, index - FIRST_STEPS) : index]))
        found.append(best)
    return found


def stretches(flags: Iterable[tuple[int, bool]], in_a_row: int) -> list[tuple[int, int]]:
    """First and last step of each stretch of flagged steps.

    Args:
        flags: (step, flagged) in the order of steps.
        in_a_row: Shorter rows of flagged steps are noise.

    Returns:
        Stretches; two with at most ``SAME_STRETCH`` quiet steps between them are one.
    """
    rows: list[tuple[int, int, int, int]] = []  # first and last step, first and last index
    row: list[tuple[int, int]] = []
    closed = [*flags, (0, False)]
    for index, (step, flagged) in enumerate(closed):
        if flagged:
            row.append((step, index))
            continue
        if len(row) >= in_a_row:
            if rows and row[0][1] - rows[-1][3] - 1 <= SAME_STRETCH:
                rows[-1] = (rows[-1][0], row[-1][0], rows[-1][2], row[-1][1])
            else:
                rows.append((row[0][0], row[-1][0], row[0][1], row[-1][1]))
        row = []
    return [(first, last) for first, last, _, _ in rows]
