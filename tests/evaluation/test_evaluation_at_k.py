"""avg@k, pass@k, maj@k."""

from itertools import combinations
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.evaluation.at_k import bootstrap_interval, majority, pass_at_k, powers_to, standard_error

answers = st.lists(st.booleans(), min_size=1, max_size=8)
votes = st.lists(st.tuples(st.sampled_from(["", "1", "2", "3"]), st.just(False)), max_size=9).map(
    lambda given: [(text, text == "2") for text, _ in given]
)


@given(answers, st.data())
def test_pass_at_k_is_the_mean_over_all_draws(given_answers: list[bool], data: st.DataObject) -> None:
    k = data.draw(st.integers(1, len(given_answers)))
    expected = fmean(any(draw) for draw in combinations(given_answers, k))
    assert pass_at_k(len(given_answers), sum(given_answers), k) == pytest.approx(expected)


@pytest.mark.parametrize("k", [0, 4])
def test_more_draws_than_answers_are_refused(k: int) -> None:
    with pytest.raises(ValueError, match=f"pass@{k}"):
        pass_at_k(3, 1, k)


@given(votes, st.randoms())
def test_the_order_of_votes_does_not_matter(given_votes: list[tuple[str, bool]], rng: object) -> None:
    shuffled = list(given_votes)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert majority(shuffled) == majority(given_votes)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [("222113", 1.0), ("2211", 0.5), ("112", 0.0), ("", 0.0), ("213", pytest.approx(1 / 3))],
)
def test_the_most_frequent_answer_counts(texts: str, expected: float) -> None:
    assert majority([(text, text == "2") for text in texts]) == expected


def test_an_empty_answer_is_no_vote() -> None:
    assert majority([("", False), ("", False), ("2", True)]) == 1.0


@pytest.mark.parametrize(("n", "expected"), [(1, [1]), (8, [1, 2, 4, 8]), (30, [1, 2, 4, 8, 16, 30])])
def test_powers_end_with_the_number_itself(n: int, expected: list[int]) -> None:
    assert powers_to(n) == expected


def test_one_problem_has_no_standard_error() -> None:
    assert standard_error([0.5]) == 0.0


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    low, high = bootstrap_interval([0.0, 1.0] * 200)
    assert low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.01)
    assert high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.01)
    assert (
        bootstrap_interval([0.0, 1.0] * 200) == bootstrap_interval([0.0] * 200 + [1.0] * 200) == (low, high)
    )
