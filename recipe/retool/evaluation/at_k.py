"""avg@k, pass@k and maj@k of one problem, and intervals over problems.

* avg@k: mean accuracy of k answers (the paper's avg@32).
* pass@k: chance that one of k answers is right, estimated without bias from n >= k answers (Chen et al.,
  arXiv 2107.03374, equation 1).
* maj@k: accuracy of the answer given most often (self-consistency, arXiv 2203.11171; DAPO's cons@32). Answers
  tied for the most votes share the vote, so that the figure does not depend on their order.
"""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import stdev

import numpy as np

_RESAMPLES = 2000
_DRAWS = 10_000_000  # of the bootstrap, held at once


def pass_at_k(answers: int, right: int, k: int) -> float:
    """Chance that at least one of ``k`` answers drawn from ``answers`` is right.

    Args:
        answers: Answers at hand (n).
        right: How many of them are right (c).
        k: From 1 to ``answers``.

    Raises:
        ValueError: ``k`` is out of range.
    """
    if not 1 <= k <= answers:
        raise ValueError(f"pass@{k} cannot be estimated from {answers} answers")
    return 1.0 - math.comb(answers - right, k) / math.comb(answers, k)


def majority(votes: Sequence[tuple[str, bool]]) -> float:
    """Accuracy of the most frequent answer.

    Args:
        votes: For each answer its text in one spelling, and whether it is right. An empty text is no vote.

    Returns:
        1 or 0; with a tie the share of right ones among the tied; 0 when nobody voted.
    """
    tied = most_frequent([text for text, _ in votes])
    right = {text for text, correct in votes if correct}
    return sum(text in right for text in tied) / len(tied) if tied else 0.0


def most_frequent(texts: Sequence[str]) -> list[str]:
    """The answers with the most votes, in order of appearance; an empty text is no vote."""
    counts = Counter(text for text in texts if text)
    most = max(counts.values(), default=0)
    return [text for text, count in counts.items() if count == most]


def powers_to(n: int) -> list[int]:
    """1, 2, 4, ... below ``n``, and ``n``."""
    return [*(1 << i for i in range(n.bit_length()) if 1 << i < n), n]


def standard_error(values: Sequence[float]) -> float:
    """Of the mean over problems; 0 for a single one."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0


def bootstrap_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95% percentile-bootstrap interval of the mean of ``values`` (problems, not samples, are drawn).

    Their order does not matter: a validation and an evaluation list the same problems differently.
    """
    given = np.sort(np.asarray(values, dtype=float))
    rng = np.random.default_rng(seed)
    rows = max(1, _DRAWS // len(given))
    blocks = [min(rows, _RESAMPLES - start) for start in range(0, _RESAMPLES, rows)]
    means = np.concatenate([rng.choice(given, (count, len(given))).mean(axis=1) for count in blocks])
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))
