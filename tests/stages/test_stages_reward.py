"""The reward in the configs, on both versions of verl, and every command line of docs/reward.rst."""

import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

from recipe.retool.errors import ConfigError
from recipe.retool.reward.mix import DEFAULT_PARTS
from recipe.retool.stages.checks import check_reward, reward_settings
from recipe.retool.stages.compose import compose_config, resolved

REPO = Path(__file__).resolve().parents[2]
PAGE = (REPO / "docs" / "reward.rst").read_text()
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.startswith("    retool ")]
OLD_VERL = REPO / "tests" / "device" / "verl_0_6_1"
OLD_WORDS = ("stack=verl_0_6", "device=npu")
STACKS = {"verl_0_9": (), "verl_0_6": OLD_WORDS}
KWARGS = "reward.custom_reward_function.reward_kwargs"
PLUGIN = '''
def short(facts, *, words: int = 200):
    """-1 for more words than allowed, else 0."""
    return -1.0 if len(facts.text.split()) > words else 0.0
'''


def composed(*words: str) -> dict[str, Any]:
    old = any(word in OLD_WORDS[:1] for word in words)
    return resolved(compose_config("retool_ppo", list(words), OLD_VERL if old else None))


def reward_kwargs(values: dict[str, Any]) -> Any:
    return values.get("reward", values)["custom_reward_function"]["reward_kwargs"]


@pytest.mark.parametrize("stack", STACKS)
def test_the_default_mix_is_the_one_of_compute_score(stack: str) -> None:
    values = composed(*STACKS[stack])
    kwargs = reward_kwargs(values)
    assert kwargs["parts"] == DEFAULT_PARTS
    assert kwargs["max_response_length"] == values["data"]["max_response_length"]
    settings = reward_settings(values)
    assert settings is not None
    assert {part.name: part.weight for part in settings.parts.parts} == DEFAULT_PARTS


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize(
    "mix", sorted(path.stem for path in (REPO / "configs" / "reward_mix").glob("*.yaml"))
)
def test_each_mix_passes_on_each_verl(stack: str, mix: str) -> None:
    settings = reward_settings(composed(f"reward_mix={mix}", *STACKS[stack]))
    assert settings is not None
    assert f"``{mix}``" in PAGE


def test_the_page_has_commands() -> None:
    assert len(COMMANDS) == PAGE.count("retool rl ") > 9


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_composes_and_passes(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_rewards.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_rewards", raising=False)
    check_reward(composed(*(word for word in shlex.split(command)[2:] if word != "...")))


def test_the_function_of_the_page_is_the_one_that_is_tested() -> None:
    assert all(line.strip() in PAGE for line in PLUGIN.strip().splitlines())


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("+reward_mix.fromat=1", r"reward_mix\.fromat.*known: correctness, outcome"),
        (f"+{KWARGS}.tool_bonus=0", r"write reward_kwargs\.parts\.tool_bonus\.per_turn"),
        (f"+{KWARGS}.parts.format=1", r"set reward_mix\.NAME=WEIGHT instead"),
        (f"~{KWARGS}.parts", r"set reward_mix\.NAME=WEIGHT instead"),
    ],
)
def test_a_mistake_in_the_mix_is_named_before_anything_starts(word: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_reward(composed(word))


def test_verl_calls_the_reward_with_the_mix_of_the_config() -> None:
    from verl.trainer.ppo.reward import get_custom_reward_fn

    config = compose_config("retool_ppo", ["reward_mix=overlong", "+reward_mix.format=0.5"])
    score = get_custom_reward_fn(config)
    assert score is not None
    info = {"model_text": "\\boxed{3}", "response_tokens": config.data.max_response_length}
    result = score("test", "", "4", info)
    assert (result["reward_overlong"], result["score"]) == (-1.0, -1.5)
