"""The same problem before and after."""

from report_runs import row

from recipe.retool.report.pairs import OneValidation, change, pairs_of
from recipe.retool.report.trajectory import VALIDATION, Trajectory


def validation(step: int, rights: list[list[bool]], limit: int = 10) -> OneValidation:
    """One answer for each element, one list for each problem."""
    found = OneValidation(limit)
    for number, answers in enumerate(rights):
        for sample, right in enumerate(answers):
            one = row(number, step, right, uid=f"{step}x{number}_{sample}_0")
            found.offer(Trajectory(VALIDATION, step, one))
    return found


def test_better_and_worse_go_by_the_share_of_right_answers() -> None:
    before = validation(0, [[False, False], [True, True], [True, False], [False, False]])
    after = validation(9, [[True, False], [True, False], [False, True], [False, False], [True, True]])
    found = change(before, after)
    assert (found.better, found.worse, found.same_right, found.same_wrong) == (1, 1, 1, 1)
    assert (found.unmatched, found.answers) == (1, 2)


def test_pairs_are_of_one_problem_whatever_the_order() -> None:
    before = validation(0, [[False]] * 30, limit=5)
    after = validation(9, [[True]] * 30, limit=5)
    shuffled = OneValidation(5)
    for number in reversed(range(30)):
        shuffled.offer(Trajectory(VALIDATION, 9, row(number, 9, True)))
    for last in (after, shuffled):
        pairs, _ = pairs_of(before, last, 10**6)
        assert len(pairs) == 5
        assert all(one.before.text("input") == one.after.text("input") for one in pairs)
