"""Composition of reward functions, and the names they go by."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from recipe.retool.errors import ConfigError
from recipe.retool.reward.facts import Facts, counters_of
from recipe.retool.reward.mix import mix_of
from recipe.retool.reward.parts import BUILT_IN
from recipe.retool.reward.registry import GROUP, known_names
from recipe.retool.reward.settings import RewardSettings

OWN = """
def words(facts, *, at_most=5, per="word", strict=False):
    return -1.0 if len(facts.text.split()) > at_most else 0.0

def needs(facts, *, target):
    return target

def free(facts, **more):
    return more["x"]

def fails_later(facts):
    return 1 / (facts.text != "surprise")

def nothing(facts):
    return None

def no_facts(*, x=1):
    return 0

class NotAFunction:
    pass
"""
FAILED = counters_of({"sandbox_unavailable": 1})


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module ``own_rewards`` that Python can import."""
    (tmp_path / "own_rewards.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_rewards", raising=False)


def offer(monkeypatch: pytest.MonkeyPatch, *values: str, name: str = "short") -> None:
    """Let installed packages offer a function under ``name``."""
    points = [metadata.EntryPoint(name, value, GROUP) for value in values]
    monkeypatch.setattr(metadata, "entry_points", lambda group: points if group == GROUP else [])


weights = st.dictionaries(st.sampled_from(sorted(BUILT_IN)), st.floats(-5, 5), min_size=1).filter(
    lambda parts: any(parts.values())
)


@given(weights, st.booleans(), st.integers(0, 9))
def test_the_score_is_the_weighted_sum(parts: dict[str, float], correct: bool, turns: int) -> None:
    facts = Facts(correct, tool_turns=turns, max_response_length=10)
    score = mix_of(parts, 10).score(facts)
    assert score.values == {name: BUILT_IN[name](facts) for name in parts}
    assert score.total == pytest.approx(sum(parts[name] * score.values[name] for name in parts))


@given(weights, st.booleans())
def test_an_infrastructure_failure_is_never_punished(parts: dict[str, float], correct: bool) -> None:
    mix = mix_of(parts, 10)
    hit = mix.score(Facts(correct, max_response_length=10, counters=FAILED)).total
    assert hit == max(0.0, mix.score(Facts(correct, max_response_length=10)).total)


@pytest.mark.parametrize("wrap", [dict, OmegaConf.create], ids=["dict", "omegaconf"])
def test_the_same_description_gives_the_same_mix(wrap: Any) -> None:
    described = {"outcome": 1, "overlong": {"weight": 0.5, "buffer": 4}}
    assert mix_of(wrap(described), 10) is mix_of(json.loads(json.dumps(described)), 10)


def test_values_that_point_elsewhere_in_a_config_resolve() -> None:
    config = OmegaConf.create({"mix": {"outcome": "${w}"}, "kwargs": {"parts": "${mix}"}, "w": 2})
    assert mix_of(config.kwargs.parts).score(Facts(True)).total == 2.0


def test_a_part_may_have_a_name_of_its_own() -> None:
    mix = mix_of({"a": {"function": "outcome"}, "b": {"function": "outcome", "weight": 0.5}, "outcome": None})
    assert mix.score(Facts(True)).values == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"outcom": 1},
            r"parts\.outcom .*known: correctness, outcome, tool_bonus, format, code_executed, length",
        ),
        ({"outcome": "much"}, r"parts\.outcome .*weight = 'much' is not a number"),
        ({"outcome": True}, r"weight = True is not a number"),
        ({"outcome": float("nan")}, r"weight = nan is not a number"),
        ({"outcome": {"weight": None}}, r"weight = None is not a number"),
        ({"outcome": [1]}, r"weight = \[1\] is not a number"),
        ({"outcome": 0}, "every score would be 0"),
        ({"outcome": None}, "every score would be 0"),
        ("outcome", "must be a mapping"),
        ({"a-b": {"function": "outcome"}}, "a name has letters, digits and _"),
        (
            {"tool_bonus": {"per_trun": 1}},
            r"unknown parameter 'per_trun'; known: weight, function, per_turn, cap",
        ),
        ({"outcome": {"x": 1}}, "unknown parameter 'x'; known: weight, function"),
        ({"tool_bonus": {"per_turn": "x"}}, "per_turn = 'x' is not a number"),
        ({"tool_bonus": {"per_turn": True}}, "per_turn = True is not a number"),
        ({"tool_bonus": {"cap": 2}}, r"parts\.tool_bonus .*cap = 2\.0 must lie in \[-1, 1\)"),
        ({"overlong": {"buffer": 1.5}}, r"buffer = 1\.5 must be a whole number"),
        ({"overlong": {"buffer": 11}}, r"buffer = 11 must lie in \[0, max_response_length = 10\]"),
        ({"code_executed": {"any_call": 1}}, "any_call = 1 must be true or false"),
        ({"x": {"function": "pkg://own_rewards:words", "per": 1}}, "per = 1 must be a text"),
        ({"x": {"function": "pkg://own_rewards:needs"}}, "'target' must be set"),
        ({"x": {"function": "pkg://own_rewards:no_facts"}}, "must take the facts"),
        ({"x": {"function": "pkg://own_rewards:NotAFunction"}}, "no plain function"),
        ({"x": {"function": "pkg://own_rewards:nothing"}}, "returns None, which is no finite number"),
        ({"x": {"function": "pkg://own_rewards:free"}}, "fails on a wrong answer: KeyError: 'x'"),
        ({"x": {"function": "pkg://own_rewards:absent"}}, "cannot be imported: AttributeError"),
        ({"x": {"function": "pkg://absent_rewards:words"}}, "cannot be imported: ModuleNotFoundError"),
        ({"x": {"function": "pkg://own_rewards"}}, "write pkg://MODULE:FUNCTION"),
    ],
)
def test_a_mistake_is_named_before_training(parts: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        mix_of(parts, 10)


@pytest.mark.parametrize(
    ("settings", "value"),
    [({"function": "pkg://own_rewards:words"}, 0.0),
     ({"function": "pkg://own_rewards:words", "at_most": 1}, -1.0),
     ({"function": "pkg://own_rewards:needs", "target": 3}, 3.0),
     ({"function": "pkg://own_rewards:free", "x": 2}, 2.0)],
)  # fmt: skip
def test_a_function_from_outside_by_its_path(settings: dict[str, Any], value: float) -> None:
    assert mix_of({"mine": settings}).score(Facts(True, text="two words")).values == {"mine": value}


def test_a_function_of_an_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "own_rewards:words")
    assert known_names() == [*BUILT_IN, "short"]
    assert mix_of({"short": {"at_most": 0, "weight": 2}}).score(Facts(True, text="a b")).total == -2.0


def test_two_packages_with_one_name_are_both_named(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "own_rewards:words", "own_rewards:needs", name="twice")
    with pytest.raises(ConfigError, match="own_rewards:needs and own_rewards:words"):
        mix_of({"twice": 1})


def test_an_installed_package_cannot_take_a_name_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "own_rewards:nothing", name="outcome")
    assert mix_of({"outcome": 1.25}).score(Facts(True)).total == 1.25


def test_a_function_that_fails_during_training_counts_as_zero_and_is_flagged() -> None:
    mix = mix_of({"outcome": 1, "mine": {"function": "pkg://own_rewards:fails_later"}})
    score = mix.score(Facts(False, text="surprise"))
    assert (score.total, score.values["mine"], score.failed) == (-1.0, 0.0, True)
    assert not mix.score(Facts(False)).failed


def test_a_check_looks_at_a_path_again(monkeypatch: pytest.MonkeyPatch) -> None:
    described = {"parts": {"mine": {"function": "pkg://own_rewards:words", "weight": 0.5}}}
    RewardSettings.from_kwargs(described, strict=True)
    monkeypatch.setattr("own_rewards.words", lambda facts: None)
    with pytest.raises(ConfigError, match="returns None"):
        RewardSettings.from_kwargs(described, strict=True)


def test_many_threads_see_one_mix() -> None:
    described = {"outcome": 3, "format": 0.25}
    with ThreadPoolExecutor(8) as pool:
        scores = list(pool.map(lambda n: mix_of(described).score(Facts(n % 2 == 0)).total, range(400)))
    assert scores == [3.0, -3.0] * 200
