"""Figures of a set of answers: of an evaluation, or of a validation during training."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from recipe.retool.evaluation.at_k import bootstrap_interval, majority, pass_at_k, powers_to, standard_error

Row = Mapping[str, Any]


@dataclass(frozen=True)
class EvalSummary:
    """One model on one set of problems.

    Attributes:
        problems: Number of problems.
        samples: Answers for each problem (the k of avg@k); where they differ, the fewest.
        accuracy: avg@k.
        low: Lower end of the 95% interval of the accuracy (bootstrap over problems).
        high: Upper end.
        stderr: Standard error of the accuracy over problems.
        pass_at: k -> unbiased pass@k, for powers of two up to ``samples``.
        maj_at_k: Accuracy of the most frequent answer.
        tool_call_rate: Share of answers with at least one tool call that was run.
        code_pass_rate: Share of tool calls whose program ended without an error; None without calls.
        mean_turns: Mean of verl's num_turns (prompt and every assistant and tool turn).
        response_tokens: Mean length of a response in tokens, tool results included.
        truncated: Share of answers that a budget ended.
        sandbox_unavailable: Tool calls that the sandbox did not answer.
    """

    problems: int
    samples: int
    accuracy: float
    low: float
    high: float
    stderr: float
    pass_at: Mapping[int, float]
    maj_at_k: float
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
    """Figures of answers, as ``retool evaluate`` or verl's validation writes them; there must be one."""
    groups = list(by_problem(rows).values())
    means = [fmean(float(row["acc"]) for row in group) for group in groups]
    low, high = bootstrap_interval(means)
    samples = min(map(len, groups))
    calls = sum(row["tool_calls"] for row in rows)
    return EvalSummary(
        problems=len(groups),
        samples=samples,
        accuracy=fmean(means),
        low=low,
        high=high,
        stderr=standard_error(means),
        pass_at={k: fmean(pass_at_k(len(g), right(g), k) for g in groups) for k in powers_to(samples)},
        maj_at_k=fmean(majority([(str(row.get("pred", "")), row["acc"] > 0) for row in g]) for g in groups),
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


def by_problem(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """Answers by problem (verl's ``uid`` is ``{problem}_{sample}_{output}``), in order of appearance."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[str(row["uid"]).split("_")[0]].append(row)
    return groups


def right(rows: Sequence[Row]) -> int:
    """How many of the answers are right."""
    return sum(row["acc"] > 0 for row in rows)
