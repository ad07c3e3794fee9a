"""The trajectories that are shown are a fair part of those that there are."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from report_runs import row

from recipe.retool.report.pairs import OneValidation, change, pairs_of
from recipe.retool.report.sampling import StratifiedSample, each_of, step_ranges
from recipe.retool.report.trajectory import VALIDATION, Trajectory


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 9), st.integers(0, 40))
def test_a_sample_keeps_to_its_limits(strata: list[str], each: int, most: int) -> None:
    sample: StratifiedSample[int] = StratifiedSample(each)
    for number, stratum in enumerate(strata):
        sample.offer(stratum, lambda number=number: number)  # type: ignore[misc]
    taken = sample.take(most, 10**6, lambda _: 1)
    assert len(taken) == len(set(taken)) <= most
    counts = Counter(strata[number] for number in taken)
    seen = Counter(strata)
    assert all(counts[stratum] <= min(each, seen[stratum]) for stratum in seen)
    if most >= sum(min(each, count) for count in seen.values()):
        assert counts == {stratum: min(each, count) for stratum, count in seen.items()}


def test_every_item_of_a_stratum_has_the_same_chance() -> None:
    hits: Counter[int] = Counter()
    for seed in range(2000):
        sample: StratifiedSample[int] = StratifiedSample(5, seed)
        for number in range(20):
            sample.offer("all", lambda number=number: number)  # type: ignore[misc]
        hits.update(sample.take(5, 5, lambda _: 1))
    assert all(400 < hits[number] < 600 for number in range(20))  # 500 expected, 5 sigma are 97


def test_texts_that_do_not_fit_are_left_out() -> None:
    sample: StratifiedSample[str] = StratifiedSample(None)
    for text in ("long" * 10, "ab", "cd", "ef"):
        sample.offer("all", lambda text=text: text)  # type: ignore[misc]
    assert sample.take(9, 5, len) == ["ab", "cd"]


def test_a_run_that_fits_is_shown_whole() -> None:
    assert each_of(100, 100, 4) is None
    assert each_of(100, 101, 4) == 50


@given(st.sets(st.integers(0, 2000), min_size=1))
def test_ranges_of_steps_are_even(steps: set[int]) -> None:
    sizes = Counter(step_ranges(list(steps)).values())
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert len(sizes) == min(20, len(steps))


def test_before_and_after_take_the_same_problems_by_their_text() -> None:
    first, last = OneValidation(5), OneValidation(5)
    for number in range(40):
        first.offer(Trajectory(VALIDATION, 0, row(number, 0, number % 2 == 0)))
        last.offer(Trajectory(VALIDATION, 9, row(39 - number, 9, True)))
    pairs, _ = pairs_of(first, last, 10**6)
    assert len(pairs) == 5
    assert all(pair.before.text("input") == pair.after.text("input") for pair in pairs)
    counted = change(first, last)
    assert (counted.better, counted.worse, counted.same_right, counted.same_wrong) == (20, 0, 20, 0)


def test_a_problem_of_one_validation_alone_is_counted() -> None:
    first, last = OneValidation(5), OneValidation(5)
    first.offer(Trajectory(VALIDATION, 0, row(1, 0, True)))
    last.offer(Trajectory(VALIDATION, 9, row(2, 9, True)))
    assert pairs_of(first, last, 10**6)[0] == []
    assert change(first, last).unmatched == 2
