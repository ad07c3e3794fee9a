"""The arithmetic task."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.tiny import arithmetic as task

hard = st.builds(task.Problem, st.integers(10, 99), st.just("*"), st.integers(10, 99))
easy = st.builds(task.Problem, st.integers(1, 9), st.just("+"), st.integers(1, 9))


@given(easy | hard)
def test_answer_is_the_value_of_the_expression(problem: task.Problem) -> None:
    assert problem.answer == eval(problem.expression)


@given(hard)
def test_head_answer_to_a_hard_problem_is_wrong(problem: task.Problem) -> None:
    assert task.head_answer(problem) != problem.answer


@given(easy)
def test_head_answer_to_an_easy_problem_is_right(problem: task.Problem) -> None:
    assert task.head_answer(problem) == problem.answer


@given(easy | hard)
def test_difficulty_is_read_from_the_prompt(problem: task.Problem) -> None:
    assert task.difficulty_in(problem.prompt[0]["content"]) == ("hard" if problem.hard else "easy")


def test_hard_test_problems_never_occur_in_training() -> None:
    train = set(itertools.islice(task.sample_problems("train", 1, easy_share=0.0), 3000))
    test = task.distinct_problems("test", 0, 200, easy_share=0.0)
    assert train.isdisjoint(test)


def test_more_easy_problems_than_there_are_is_no_endless_loop() -> None:
    problems = task.distinct_problems("train", 0, 1000, easy_share=0.5)
    assert len(set(problems)) == 1000
    assert sum(not problem.hard for problem in problems) == 81


def test_tool_result_in_sft_is_what_the_tool_would_say() -> None:
    messages = task.sft_messages(task.Problem(57, "*", 83), laborious=True)
    assert messages[-2] == {"role": "tool", "content": "4731"}
