"""Settings refuse what they cannot mean."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.env.counters import new_counters
from recipe.retool.env.settings import Budget, EnvSettings, Masks
from recipe.retool.errors import ConfigError


@pytest.mark.parametrize(
    ("cls", "config", "told"),
    [
        (EnvSettings, {"nmae": "x"}, "retool.env: unknown key 'nmae'; known: name, stop"),
        (EnvSettings, "hermes", "retool.env='hermes' must be a mapping"),
        (EnvSettings, {"name": 3}, "retool.env.name=3 must be a text"),
        (EnvSettings, {"instruction": ["a"]}, r"retool.env.instruction=\['a'\] must be a text"),
        (EnvSettings, {"stop": "</code>"}, "retool.env.stop='</code>' must be a list"),
        (EnvSettings, {"stop": {"a": 1}}, "retool.env.stop=.* must be a list"),
        (EnvSettings, {"stop": [None]}, r"retool.env.stop=\[None\] must be a list of texts"),
        (EnvSettings, {"stop": ["a", ""]}, "empty text"),
        (EnvSettings, {"max_parallel_calls": 0}, "max_parallel_calls=0 must be a whole number from 1"),
        (EnvSettings, {"max_parallel_calls": True}, "max_parallel_calls=True"),
        (EnvSettings, {"max_parallel_calls": 1.5}, "max_parallel_calls=1.5"),
        (Budget, {"turns": 3}, "retool.budget: unknown key 'turns'; known: calls, seconds"),
        (Budget, {"calls": -1}, "retool.budget.calls=-1 must be a number from 0"),
        (Budget, {"calls": 1.5}, "retool.budget.calls=1.5 must be a whole number"),
        (Budget, {"seconds": float("nan")}, "retool.budget.seconds=nan"),
        (Budget, {"seconds": float("inf")}, "retool.budget.seconds=inf"),
        (Budget, {"seconds": "60"}, "retool.budget.seconds='60'"),
        (Budget, {"calls": True}, "retool.budget.calls=True"),
        (Budget, [1], "must be a mapping"),
        (Masks, {"truncated": 1}, "retool.masks.truncated=1 must be true or false"),
        (Masks, {"void_turns": "yes"}, "retool.masks.void_turns='yes' must be true or false"),
        (Masks, {"unavailable": "skip"}, "retool.masks.unavailable='skip' must be drop, mask or keep"),
        (Masks, {"void": True}, "retool.masks: unknown key 'void'"),
    ],
)
def test_a_bad_value_is_named(cls: Any, config: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        cls.from_config(config)


@pytest.mark.parametrize("cls", [EnvSettings, Budget, Masks])
def test_nothing_given_is_the_default(cls: Any) -> None:
    assert cls.from_config(None) == cls.from_config({}) == cls()


@given(st.lists(st.text(min_size=1), max_size=3))
def test_stop_strings_are_kept_as_they_are(stop: list[str]) -> None:
    assert EnvSettings.from_config({"stop": stop}).stop == tuple(stop)


@given(st.integers(0, 99), st.floats(0, 1e9), st.none() | st.integers(0, 9), st.none() | st.integers(0, 9))
def test_a_budget_is_read(calls: int, seconds: float, turns: int | None, tool_turns: int | None) -> None:
    found = Budget.from_config({"calls": calls, "seconds": seconds}, turns, tool_turns)
    assert found == Budget(turns or 0, tool_turns or 0, calls, seconds)


flags = st.fixed_dictionaries(
    {
        name: st.sampled_from([0.0, 1.0, 2.0])
        for name in ("truncated", "void_turns", "sandbox_unavailable", "aborted")
    }
)
masks = st.builds(Masks, st.booleans(), st.booleans(), st.sampled_from(["drop", "mask", "keep"]))


@given(masks, flags, st.booleans())
def test_only_what_an_option_names_is_hidden(
    options: Masks, flagged: dict[str, float], can_drop: bool
) -> None:
    reasons = [
        options.truncated and flagged["truncated"],
        options.void_turns and flagged["void_turns"],
        options.unavailable == "mask" and flagged["sandbox_unavailable"],
        options.unavailable == "drop" and flagged["sandbox_unavailable"] and not can_drop,
        options.unavailable != "keep" and flagged["aborted"],
    ]
    assert options.hides({**new_counters(), **flagged}, can_drop) == any(reasons)
