"""avg@k, pass@k, maj@k and their interval."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.report.scores import Answers

groups = st.lists(st.lists(st.booleans(), min_size=1, max_size=5), min_size=1, max_size=6)


def collected(given_groups: list[list[bool]]) -> Answers:
    answers = Answers()
    for number, group in enumerate(given_groups):
        for right in group:
            answers.add(str(number), {"acc": float(right), "pred": "yes" if right else "no"})
    return answers


@given(groups)
def test_average_is_the_mean_of_the_problems_means(given_groups: list[list[bool]]) -> None:
    score = collected(given_groups).score()
    assert score is not None
    means = [sum(group) / len(group) for group in given_groups]
    assert score.average == pytest.approx(sum(means) / len(means))
    assert score.low - 1e-9 <= score.average <= score.high + 1e-9
    assert score.average <= score.best + 1e-9


def test_majority_takes_the_most_frequent_answer() -> None:
    answers = Answers()
    for right, pred in ((1.0, "4"), (0.0, "5"), (1.0, "4"), (0.0, "6")):
        answers.add("a", {"acc": right, "pred": pred})
    score = answers.score()
    assert score is not None
    assert (score.majority, score.best, score.average, score.samples) == (1.0, 1.0, 0.5, 4)


def test_nothing_scored_is_no_score() -> None:
    answers = Answers()
    answers.add("a", {"pred": "4"})
    assert answers.score() is None
