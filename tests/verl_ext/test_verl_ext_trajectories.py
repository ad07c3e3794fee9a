"""Which trajectories an outage takes, and what is read of one."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.verl_ext.trajectories import counter_row, group_of, unusable

ROWS = st.dictionaries(
    st.tuples(st.sampled_from("abc"), st.integers(0, 5)).map(lambda at: f"{at[0]}_{at[1]}_0"),
    st.sampled_from([{"sandbox_unavailable": 0.0}, {"sandbox_unavailable": 2.0}, {}]),
)


def hit(row: dict[str, Any]) -> bool:
    return row.get("sandbox_unavailable", 0.0) > 0


@given(ROWS)
def test_every_trajectory_that_was_hit_goes(rows: dict[str, dict[str, Any]]) -> None:
    assert {key for key, row in rows.items() if hit(row)} <= unusable(rows)


@given(ROWS)
def test_a_group_that_was_not_hit_stays(rows: dict[str, dict[str, Any]]) -> None:
    touched = {group_of(key) for key, row in rows.items() if hit(row)}
    assert {group_of(key) for key in unusable(rows)} == touched


@given(ROWS)
def test_what_stays_of_a_group_that_was_hit_has_a_baseline(rows: dict[str, dict[str, Any]]) -> None:
    out = unusable(rows)
    for group in {group_of(key) for key in out}:
        assert sum(group_of(key) == group for key in rows.keys() - out) != 1


@given(ROWS)
def test_a_critic_keeps_what_was_not_hit(rows: dict[str, dict[str, Any]]) -> None:
    assert unusable(rows, group_baseline=False) == {key for key, row in rows.items() if hit(row)}


@pytest.mark.parametrize("wrap", [lambda fields: fields, lambda fields: SimpleNamespace(data=fields)])
def test_the_reward_and_the_agent_loop_make_one_row(wrap: Any) -> None:
    fields = {"call_seconds": [0.5], "tool_calls": 1.0, "reward_extra_info": {"acc": 1.0, "tool_calls": 2.0}}
    row = counter_row(wrap(fields))
    assert (row["call_seconds"], row["acc"], row["tool_calls"]) == ([0.5], 1.0, 2.0)


@pytest.mark.parametrize("fields", [None, "text", {}, {"reward_extra_info": None}])
def test_a_trajectory_without_counters_is_an_empty_row(fields: Any) -> None:
    assert not set(counter_row(fields)) - {"reward_extra_info"}
