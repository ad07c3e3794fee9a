"""Accuracy of answers to problems, several answers a problem: avg@k, pass@k, maj@k."""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from recipe.retool.evaluation.at_k import bootstrap_interval, majority
from recipe.retool.reward.values import as_number


@dataclass(frozen=True)
class Score:
    """How right a set of answers is.

    Attributes:
        problems: Number of problems.
        samples: Most answers of one problem: the k of the names below.
        average: avg@k, the mean over problems of the share of right answers.
        low: Lower end of its 95% interval (bootstrap over problems).
        high: Upper end.
        best: pass@k, the share of problems with a right answer.
        majority: maj@k, the share of problems whose most frequent answer is right (equals share).
    """

    problems: int
    samples: int
    average: float
    low: float
    high: float
    best: float
    majority: float


class Answers:
    """Collects right and wrong answers by problem; rows without ``acc`` say nothing."""

    def __init__(self) -> None:
        self._by_problem: dict[str, list[tuple[float, str]]] = {}

    def add(self, problem: str, row: Mapping[str, Any]) -> None:
        """Take one answer (``acc``, ``pred``) to a problem."""
        right = as_number(row.get("acc"))
        if right is not None:
            self._by_problem.setdefault(problem, []).append((right, str(row.get("pred", ""))))

    def means(self) -> dict[str, float]:
        """Share of right answers of each problem."""
        return {
            problem: fmean(right for right, _ in answers) for problem, answers in self._by_problem.items()
        }

    def score(self) -> Score | None:
        """The figures; None without an answer."""
        if not self._by_problem:
            return None
        groups = list(self._by_problem.values())
        means = list(self.means().values())
        low, high = bootstrap_interval(means)
        return Score(
            problems=len(groups),
            samples=max(map(len, groups)),
            average=fmean(means),
            low=low,
            high=high,
            best=fmean(any(right for right, _ in group) for group in groups),
            majority=fmean(majority([(pred, right > 0) for right, pred in group]) for group in groups),
        )
