"""Bad values of this recipe's own options end a run before an engine starts."""

import pytest

from recipe.retool.errors import ConfigError
from recipe.retool.stages.compose import compose_config, resolved
from recipe.retool.stages.option_checks import check_options

FILTER = "algorithm.filter_groups"
BAD = [
    (["+retool.mask.truncated=true"], "env, budget, masks, alarm"),
    (["retool.env.max_parallel_calls=0"], "whole number from 1"),
    (["retool.budget.seconds=-1"], "number from 0"),
    (["retool.masks.unavailable=skip"], "drop, mask or keep"),
    (["retool.masks.truncated=1"], "true or false"),
    (["+retool.masks.void_turn=true"], "void_turns"),
    (["retool.alarm.no_tool_steps=-1"], "whole number from 0"),
    (["+retool.alarm.steps=1"], "no_tool_steps"),
    (["trainer.v1.sampler.sampler_kwargs.poll_interval=0"], "seconds above 0"),
    (["+trainer.v1.sampler.sampler_kwargs.poll=1"], "poll_interval"),
    ([f"{FILTER}.enable=true", f"{FILTER}.metric=null"], "set it to reward"),
    ([f"{FILTER}.enable=true", f"{FILTER}.max_num_gen_batches=1"], "2 or more"),
    ([f"{FILTER}.enable=true", f"{FILTER}.max_inflight_gen_batches=0"], "1 or more"),
    ([f"{FILTER}.enable=true", "actor_rollout_ref.rollout.n=1"], "rollout.n"),
    ([f"{FILTER}.enable=true", "reward.reward_model.enable=true"], "enable_resource_pool"),
]
GOOD = [
    [],
    ["retool.masks={truncated: true, void_turns: true, unavailable: mask}"],
    ["retool.alarm.no_tool_steps=0"],
    [f"{FILTER}.enable=true", f"{FILTER}.max_num_gen_batches=0"],
]


@pytest.mark.parametrize(
    ("words", "told"), BAD, ids=lambda value: value[-1] if isinstance(value, list) else ""
)
def test_a_bad_option_is_refused_with_what_it_may_be(words: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        check_options("verl_0_9", resolved(compose_config("retool_ppo", words)))


@pytest.mark.parametrize("words", GOOD)
def test_a_good_option_passes(words: list[str]) -> None:
    check_options("verl_0_9", resolved(compose_config("retool_ppo", words)))


@pytest.mark.parametrize(
    "node",
    [
        {"masks": {"unavailable": "drop"}, "alarm": {"no_tool_steps": 0}},
        {"masks": {"unavailable": "mask"}, "alarm": {"no_tool_steps": 3}},
    ],
)
def test_the_old_verl_has_no_sampler_to_do_it(node: dict[str, dict[str, object]]) -> None:
    with pytest.raises(ConfigError, match="needs the sampler"):
        check_options("verl_0_6", {"retool": node})
