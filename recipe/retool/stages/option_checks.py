"""The options that are this recipe's own, and what of verl's they lean on."""

from typing import Any

from recipe.retool.device.stacks import OLD_STACK
from recipe.retool.env.registry import env_class
from recipe.retool.env.settings import DROP, Budget, EnvSettings, Masks
from recipe.retool.errors import ConfigError
from recipe.retool.records.alarm import AlarmOptions
from recipe.retool.records.files import look_up
from recipe.retool.verl_ext.sampler_settings import SamplerSettings

_SECTIONS = ("env", "budget", "masks", "alarm")


def check_options(stack: str, values: dict[str, Any]) -> None:
    """Refuse unknown or impossible values under ``retool`` and of the group filter.

    Args:
        stack: Name of the stack.
        values: A resolved RL config.

    Raises:
        ConfigError: Names the key and what it may be.
    """
    unknown = sorted(set(look_up(values, "retool") or {}) - set(_SECTIONS))
    if unknown:
        raise ConfigError(f"retool: unknown section {unknown[0]!r}; known: {', '.join(_SECTIONS)}")
    check_env(values)
    Budget.from_config(look_up(values, "retool.budget"))
    masks = Masks.from_config(look_up(values, "retool.masks"))
    alarm = AlarmOptions.from_config(look_up(values, "retool.alarm"))
    if stack == OLD_STACK:
        _check_old(masks, alarm)
        return
    SamplerSettings.from_kwargs(look_up(values, "trainer.v1.sampler.sampler_kwargs") or {})
    if look_up(values, "algorithm.filter_groups.enable"):
        _check_filter(values)


def check_env(values: dict[str, Any]) -> None:
    """Refuse an environment that does not exist, and settings that it does not have (RL and SFT).

    Raises:
        ConfigError: Names the key and what it may be.
    """
    env_class(EnvSettings.from_config(look_up(values, "retool.env")).name)


def _check_old(masks: Masks, alarm: AlarmOptions) -> None:
    why = f"needs the sampler of verl 0.9, which stack={OLD_STACK} has not"
    if masks.unavailable == DROP:
        raise ConfigError(f"retool.masks.unavailable={DROP} {why}: set it to mask or keep")
    if alarm.no_tool_steps:
        raise ConfigError(f"retool.alarm.no_tool_steps={alarm.no_tool_steps} {why}: set it to 0")


def _check_filter(values: dict[str, Any]) -> None:
    """The filter compares rewards when a group ends, and compares nothing in groups of one."""
    model = look_up(values, "reward.reward_model") or {}
    if model.get("enable") and not model.get("enable_resource_pool"):
        raise ConfigError(
            "algorithm.filter_groups.enable=true needs the reward before the batch is taken: set "
            "reward.reward_model.enable_resource_pool=true, or reward.reward_model.enable=false"
        )
    if look_up(values, "actor_rollout_ref.rollout.n") == 1:
        raise ConfigError(
            "algorithm.filter_groups.enable=true compares the answers to one prompt: set "
            "actor_rollout_ref.rollout.n to 2 or more"
        )
