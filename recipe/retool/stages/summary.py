"""Figures of one evaluation, from its trajectories."""

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

_RESAMPLES = 2000
Row = dict[str, Any]


@dataclass(frozen=True)
class EvalSummary:
    """One model on one set of problems.

    Attributes:
        problems: Number of problems.
        samples: Answers for each problem (the k of avg@k).
        accuracy: avg@k.
        low: Lower end of the 95% interval of the accuracy (bootstrap over problems).
        high: Upper end.
        tool_call_rate: Share of answers with at least one tool call that was run.
        code_pass_rate: Share of tool calls whose program ended without an error; None without calls.
        mean_turns: Mean of verl's num_turns (prompt and every assistant and tool turn).
        response_tokens: Mean length of a response in tokens, tool results included.
        truncated: Share of answers cut at the length limit.
        sandbox_unavailable: Tool calls that the sandbox did not answer.
    """

    problems: int
    samples: int
    accuracy: float
    low: float
    high: float
    tool_call_rate: float
    code_pass_rate: float | None
    mean_turns: float
    response_tokens: float
    truncated: float
    sandbox_unavailable: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def summarise(rows: Sequence[Row]) -> EvalSummary:
    """Figures of verl's validation dump (``validation_data_dir``); ``rows`` must not be empty."""
    by_problem: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        by_problem[str(row["uid"]).split("_")[0]].append(float(row["acc"]))
    means = [fmean(accs) for accs in by_problem.values()]
    low, high = bootstrap_interval(means)
    calls = sum(row["tool_calls"] for row in rows)
    return EvalSummary(
        problems=len(means),
        samples=max(map(len, by_problem.values())),
        accuracy=fmean(means),
        low=low,
        high=high,
        tool_call_rate=fmean(row["tool_calls"] > 0 for row in rows),
        code_pass_rate=sum(row["tool_ok"] for row in rows) / calls if calls else None,
        mean_turns=fmean(row["num_turns"] for row in rows),
        response_tokens=fmean(row["response_tokens"] for row in rows),
        truncated=fmean(row["truncated"] for row in rows),
        sandbox_unavailable=int(sum(row["sandbox_unavailable"] for row in rows)),
    )


def summarise_by(rows: Sequence[Row], key: Callable[[Row], str]) -> dict[str, EvalSummary]:
    """One summary for each value of ``key``, in order of the values."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return {name: summarise(groups[name]) for name in sorted(groups)}


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95% percentile-bootstrap interval of the mean of ``values`` (problems, not samples, are drawn)."""
    rng = random.Random(seed)
    means = sorted(fmean(rng.choices(values, k=len(values))) for _ in range(_RESAMPLES))
    return means[int(0.025 * _RESAMPLES)], means[int(0.975 * _RESAMPLES) - 1]
