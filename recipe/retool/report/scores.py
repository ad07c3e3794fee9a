"""Accuracy of answers to problems, several answers a problem: avg@k, pass@k, maj@k."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recipe.retool.reward.values import as_number

_RESAMPLES = 2000
_BLOCK = 100_000_000  # draws of the bootstrap that are held at once, at most


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
        majority: maj@k, the share of problems whose most frequent answer is right (the first of equals).
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
            problem: float(np.mean([right for right, _ in answers]))
            for problem, answers in self._by_problem.items()
        }

    def score(self) -> Score | None:
        """The figures; None without an answer."""
        if not self._by_problem:
            return None
        groups = list(self._by_problem.values())
        means = list(self.means().values())
        low, high = interval(means)
        return Score(
            problems=len(groups),
            samples=max(map(len, groups)),
            average=float(np.mean(means)),
            low=low,
            high=high,
            best=float(np.mean([any(right for right, _ in group) for group in groups])),
            majority=float(np.mean([_majority(group) for group in groups])),
        )


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95% percentile-bootstrap interval of the mean of ``values`` (not empty)."""
    given = np.asarray(values, dtype=float)
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // (8 * len(given)))
    blocks = [min(rows, _RESAMPLES - start) for start in range(0, _RESAMPLES, rows)]
    means = np.concatenate([rng.choice(given, (count, len(given))).mean(axis=1) for count in blocks])
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def _majority(answers: Sequence[tuple[float, str]]) -> float:
    winner = Counter(pred for _, pred in answers).most_common(1)[0][0]
    return next(right for right, pred in answers if pred == winner)
