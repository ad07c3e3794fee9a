"""Bad values of this recipe's own options end a run before an engine starts."""

from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from recipe.retool.errors import ConfigError
from recipe.retool.stages.compose import compose_config, resolved
from recipe.retool.stages.option_checks import check_options
from recipe.retool.verl_ext.sampler_settings import SamplerSettings

FILTER = "algorithm.filter_groups"
KWARGS = "trainer.v1.sampler.sampler_kwargs"
ON = {f"{FILTER}.enable": True}
BAD: list[tuple[dict[str, Any], str]] = [
    ({"retool.mask.truncated": True}, "env, budget, masks, alarm"),
    ({"retool.env.name": "herms"}, "hermes"),
    ({"retool.env.max_parallel_calls": 0}, "whole number from 1"),
    ({"retool.budget.seconds": -1}, "number from 0"),
    ({"retool.masks.unavailable": "skip"}, "drop, mask or keep"),
    ({"retool.masks.truncated": 1}, "true or false"),
    ({"retool.masks.void_turn": True}, "void_turns"),
    ({"retool.alarm.no_tool_steps": -1}, "whole number from 0"),
    ({"retool.alarm.steps": 1}, "no_tool_steps"),
    ({f"{KWARGS}.poll_interval": 0}, "seconds above 0"),
    ({f"{KWARGS}.poll": 1}, "poll_interval"),
    ({**ON, f"{FILTER}.metric": None}, "set it to reward"),
    ({**ON, f"{FILTER}.max_num_gen_batches": 1}, "2 or more"),
    ({**ON, f"{FILTER}.max_inflight_gen_batches": 0}, "1 or more"),
    ({**ON, "actor_rollout_ref.rollout.n": 1}, r"rollout\.n"),
    ({**ON, "reward.reward_model.enable": True}, "enable_resource_pool"),
]
GOOD: list[dict[str, Any]] = [
    {},
    {"retool.masks": {"truncated": True, "void_turns": True, "unavailable": "mask"}},
    {"retool.alarm.no_tool_steps": 0},
    {**ON, f"{FILTER}.max_num_gen_batches": 0},
]


@pytest.fixture(scope="module")
def config() -> DictConfig:
    return compose_config("retool_ppo", [])


def with_values(config: DictConfig, values: dict[str, Any]) -> dict[str, Any]:
    changed = config.copy()
    for key, value in values.items():
        OmegaConf.update(changed, key, value, force_add=True)
    return resolved(changed)


@pytest.mark.parametrize(("values", "told"), BAD, ids=[list(values)[-1] for values, _ in BAD])
def test_a_bad_option_is_refused_with_what_it_may_be(
    config: DictConfig, values: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        check_options("verl_0_9", with_values(config, values))


@pytest.mark.parametrize("values", GOOD, ids=len)
def test_a_good_option_passes(config: DictConfig, values: dict[str, Any]) -> None:
    check_options("verl_0_9", with_values(config, values))


@pytest.mark.parametrize(
    "node",
    [
        {"masks": {"unavailable": "drop"}, "alarm": {"no_tool_steps": 0}},
        {"masks": {"unavailable": "mask"}, "alarm": {"no_tool_steps": 3}},
    ],
    ids=["masks", "alarm"],
)
def test_the_old_verl_has_no_sampler_to_do_it(node: dict[str, dict[str, object]]) -> None:
    with pytest.raises(ConfigError, match="needs the sampler"):
        check_options("verl_0_6", {"retool": node})


def test_options_reach_the_sampler(config: DictConfig) -> None:
    chosen = {"retool.masks.unavailable": "keep", "retool.alarm.no_tool_steps": 7, "retool.env.name": "text"}
    values = with_values(config, {**chosen, **ON})
    settings = SamplerSettings.from_kwargs(values["trainer"]["v1"]["sampler"]["sampler_kwargs"])
    assert (settings.masks.unavailable, settings.alarm.no_tool_steps) == ("keep", 7)
    assert settings.environment == "text"
    assert (settings.filter_groups.metric, settings.filter_groups.max_num_gen_batches) == ("reward", 10)
    assert (settings.poll_interval, settings.train_batch_size) == (0.2, 32)
