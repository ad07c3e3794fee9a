"""What the agent loop tells the reward."""

from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.env.counters import COUNTERS
from recipe.retool.verl_ext.agent_loop import model_turns, trajectory_fields
from recipe.retool.verl_ext.tool import new_stats

response = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 1)), max_size=40)


@given(response)
def test_model_turns_hold_each_model_token_once_and_no_tool_token(pairs: list[tuple[int, int]]) -> None:
    ids, mask = [i for i, _ in pairs], [m for _, m in pairs]
    assert [i for turn in model_turns(ids, mask) for i in turn] == [i for i, m in pairs if m]


@given(response)
def test_turns_are_as_many_as_runs_of_model_tokens(pairs: list[tuple[int, int]]) -> None:
    mask = [m for _, m in pairs]
    starts = sum(m == 1 and (n == 0 or mask[n - 1] == 0) for n, m in enumerate(mask))
    assert len(model_turns([i for i, _ in pairs], mask)) == starts


def test_fields_are_the_counters_that_the_reward_passes_on() -> None:
    fields = trajectory_fields("", new_stats(), 3, 10)
    assert set(fields) - set(COUNTERS) == {"model_text"}


def test_a_call_that_does_not_parse_is_counted() -> None:
    assert trajectory_fields("<tool_call>{oops", new_stats(), 3, 10)["tool_not_run"] == 1.0


def test_a_response_at_the_limit_is_truncated() -> None:
    assert trajectory_fields("", new_stats(), 10, 10)["truncated"] == 1.0
