"""A run that never calls a tool ends; any other goes on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.errors import ConfigError, StageError
from recipe.retool.records.alarm import TEXT_ENV, AlarmOptions, NoToolAlarm

SILENT = [{"tool_calls": 0.0, "tool_malformed": 2.0}, {"tool_calls": 0.0}]
CALLING = [{"tool_calls": 0.0}, {"tool_calls": 1.0}]


@given(st.integers(1, 9))
def test_it_rings_at_the_last_silent_step_and_not_before(steps: int) -> None:
    alarm = NoToolAlarm(AlarmOptions(steps), "hermes")
    for _ in range(steps - 1):
        alarm.observe(SILENT)
    with pytest.raises(StageError, match=f"first {steps} steps"):
        alarm.observe(SILENT)


def test_it_says_what_to_check_and_how_to_go_on() -> None:
    with pytest.raises(StageError) as ringing:
        NoToolAlarm(AlarmOptions(1), "hermes").observe(SILENT)
    for word in ("2 malformed", "agent_name", "SFT checkpoint", "retool.alarm.no_tool_steps=0"):
        assert word in str(ringing.value)


def test_one_call_silences_it_for_good() -> None:
    alarm = NoToolAlarm(AlarmOptions(2), "hermes")
    for rows in (SILENT, CALLING, SILENT, SILENT, SILENT):
        alarm.observe(rows)


@pytest.mark.parametrize(("steps", "environment"), [(0, "hermes"), (1, TEXT_ENV)])
def test_it_can_be_turned_off_and_needs_tools(steps: int, environment: str) -> None:
    NoToolAlarm(AlarmOptions(steps), environment).observe(SILENT)


@pytest.mark.parametrize("rows", [[], [{"score": 1.0}]])
def test_trajectories_that_say_nothing_are_no_silence(rows: list[dict[str, float]]) -> None:
    NoToolAlarm(AlarmOptions(1), "hermes").observe(rows)


@pytest.mark.parametrize("config", [{"no_tool_steps": -1}, {"no_tool_steps": True}, {"no_tool_step": 3}])
def test_a_bad_option_is_refused_by_name(config: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"retool\.alarm"):
        AlarmOptions.from_config(config)
