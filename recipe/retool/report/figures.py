"""The charts of the page as data: lines with their points, or a note why there are none."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from recipe.retool.report.figure_table import ACCURACY, BEST, FIGURES, MAJORITY, Figure, Line
from recipe.retool.report.run_data import RunData, Validation
from recipe.retool.report.step_time import step_time_chart
from recipe.retool.report.trajectory import EVALUATION, TRAINING, VALIDATION
from recipe.retool.report.why import why
from recipe.retool.reward.values import as_number

Series = dict[str, Any]
_LOGGED = re.compile(r"^val-core/(.+)/acc/mean@(\d+)$")


def charts(runs: Sequence[RunData]) -> list[dict[str, Any]]:
    """Every figure with its series: run (its place), line, set, x, y; low and high where there are any."""
    times = step_time_chart(runs)
    times["notes"] = grouped(times.pop("reasons"), len(runs))
    return [*(_chart(figure, runs) for figure in FIGURES), times]


def _chart(figure: Figure, runs: Sequence[RunData]) -> dict[str, Any]:
    series: list[Series] = []
    reasons: dict[str, str] = {}
    for place, run in enumerate(runs):
        nothing = figure.missing == "tools" and run.used_tools is False  # its zeros say nothing
        found = [
            {"run": place, "line": number, **one}
            for number, line in enumerate(() if nothing else figure.lines)
            for one in _series(line, run)
        ]
        if not found:
            reasons[run.label] = why(figure.missing, run)
        series += found
    notes = grouped(reasons, len(runs))
    shown = asdict(figure) | {"kind": "lines", "lines": [line.label for line in figure.lines]}
    if figure.fold_zero and series and not any(value for one in series for value in one["y"]):
        return shown | {"series": [], "notes": [("", "0 throughout"), *notes], "zero": True}
    return shown | {"series": series, "notes": notes}


def grouped(reasons: Mapping[str, str], runs: int) -> list[tuple[str, str]]:
    """The notes of a figure: (runs, reason); no name where the reason is that of all ``runs``."""
    texts = dict.fromkeys(reasons.values())
    found = [([label for label, text in reasons.items() if text == one], one) for one in texts]
    return [("" if len(names) == runs else ", ".join(names), text) for names, text in found]


def _series(line: Line, run: RunData) -> list[Series]:
    found = []
    x, y = _points(line.keys, run)
    if x:
        found.append({"set": TRAINING, "x": x, "y": y})
    if line.validation:
        found += _validated(line.validation, run)
    if line.validation and run.overall is not None:
        one = _at(line.validation, run.overall)
        if one is not None:
            found.append({"set": EVALUATION, "x": [0], "y": one[:1], "low": one[1:2], "high": one[2:]})
    return found


def _points(keys: Sequence[str], run: RunData) -> tuple[list[int], list[float]]:
    """Of the first key that the run has; what was counted here fills in what was not logged."""
    for key in keys:
        by_step = {
            step: value
            for table in (run.training, run.metrics)
            for step, row in table.items()
            if (value := as_number(row.get(key))) is not None
        }
        if by_step:
            return sorted(by_step), [by_step[step] for step in sorted(by_step)]
    return [], []


def _validated(name: str, run: RunData) -> list[Series]:
    points = {step: at for step, one in run.validation.items() if (at := _at(name, one)) is not None}
    if name == ACCURACY:
        points = {**logged_accuracy(run), **points}
    if not points:
        return []
    steps = sorted(points)
    rows = [points[step] for step in steps]
    found: Series = {"set": VALIDATION, "x": steps, "y": [row[0] for row in rows]}
    if name == ACCURACY:
        found |= {"low": [row[1] for row in rows], "high": [row[2] for row in rows]}
    return [found]


def _at(name: str, validation: Validation) -> list[float] | None:
    score = validation.score
    if name == ACCURACY:
        return [score.average, score.low, score.high] if score else None
    if name in (BEST, MAJORITY):
        return None if not score or score.samples < 2 else [score.best if name == BEST else score.majority]
    return [validation.figures[name]] if name in validation.figures else None


def logged_accuracy(run: RunData) -> dict[int, list[float]]:
    """Mean validation accuracy by step as verl logged it, for steps without a dump; no interval."""
    found = {}
    for step, row in run.metrics.items():
        values = [
            value
            for key, given in row.items()
            if _LOGGED.match(key) and (value := as_number(given)) is not None
        ]
        if values:
            found[step] = [fmean(values)] * 3
    return found
