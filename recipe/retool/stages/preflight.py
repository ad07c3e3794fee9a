"""Everything that is looked at before an engine starts; each finding names the key and the remedy."""

import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from recipe.retool.device.memory import device_memory
from recipe.retool.device.ray_cluster import cluster_address, why_silent
from recipe.retool.device.variables import obsolete
from recipe.retool.errors import ConfigError
from recipe.retool.records.files import look_up
from recipe.retool.stages.checks import check_batch, check_micro_batch, check_names, check_reward
from recipe.retool.stages.choices import Choices, check_choices, check_installed
from recipe.retool.stages.dead_keys import check_values, check_words
from recipe.retool.stages.estimate import estimate_rl, estimate_sft
from recipe.retool.stages.estimate_text import (
    rollout_lines,
    rollout_warnings,
    training_lines,
    training_warnings,
)
from recipe.retool.stages.layout import check_rl_layout, check_rl_lengths, check_sft_layout
from recipe.retool.stages.option_checks import check_env, check_options
from recipe.retool.stages.progress import say
from recipe.retool.stages.shapes import positions_of, shape_of
from recipe.retool.stages.tokenizer_check import check_tokenizer

# Paths that our configs fill in. A package (pkg://) and an absent one pass.
OWN_PATHS = (
    "actor_rollout_ref.rollout.multi_turn.tool_config_path",
    "actor_rollout_ref.rollout.agent.agent_loop_config_path",
    "data.custom_cls.path",
    "reward.custom_reward_function.path",
    "custom_reward_function.path",  # verl 0.6
)


def before_composing(stage: str, chosen: Choices, overrides: Sequence[str]) -> None:
    """What the command line alone tells: groups that do not go together, keys that nobody reads.

    Raises:
        ConfigError: The first thing that is wrong.
    """
    check_choices(chosen)
    check_installed(chosen)
    check_words(stage, chosen.stack, overrides)
    for line in obsolete(chosen.device, chosen.stack, os.environ):
        say(f"  warning: {line}")


def check_rl(chosen: Choices, values: dict[str, Any]) -> None:
    """What a composed RL config tells.

    Raises:
        ConfigError: The first thing that is wrong.
    """
    check_values("rl", chosen.stack, values)
    check_names(values)
    path = _model(values, "actor_rollout_ref.model.path")
    check_tokenizer(path)
    shape = shape_of(path, chosen.model)
    check_rl_layout(values, shape)
    check_rl_lengths(values, positions_of(path))
    check_reward(values)
    check_options(chosen.stack, values)


def check_served(chosen: Choices, values: dict[str, Any]) -> None:
    """What a composed config tells of a model that some server has, and this host does not.

    Raises:
        ConfigError: The first thing that is wrong.
    """
    check_values("rl", chosen.stack, values)
    check_reward(values)
    check_options(chosen.stack, values)


def check_sandbox_url(values: dict[str, Any], url: str | None) -> None:
    """With several nodes, the tools run on all of them: the sandbox must be reachable from each.

    Raises:
        ConfigError: There is none, or one that only this node reaches.
    """
    nodes = int(values["trainer"]["nnodes"])
    if nodes > 1 and (url is None or urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")):
        raise ConfigError(
            f"trainer.nnodes={nodes}: every node must reach the sandbox; start one with `retool "
            "sandbox serve --host ADDRESS --allow-remote` on a trusted network and give --sandbox-url http://ADDRESS:8080"
        )


def check_cluster(values: dict[str, Any], env: Mapping[str, str] = os.environ) -> None:
    """Refuse a Ray cluster that the run would join and cannot: Ray takes a minute to say so.

    Raises:
        ConfigError: Nobody answers at its address, or the config sizes a cluster that is already there.
    """
    section = "ray_kwargs.ray_init"
    address = cluster_address(env, look_up(values, f"{section}.address"))
    if address is None:
        return
    silent = why_silent(address)
    if silent:
        raise ConfigError(
            f"Ray would join the cluster at {address} ({silent}): correct or unset RAY_ADDRESS; `ray stop` "
            f"clears what a dead cluster left; ++{section}.address=local starts one for the run"
        )
    for key in ("num_cpus", "num_gpus"):
        if look_up(values, f"{section}.{key}") is not None:
            raise ConfigError(
                f"{section}.{key}: the cluster at {address} has its size; set {section}.{key}=null, or "
                f"++{section}.address=local for a cluster of the run's own"
            )


def check_rl_data(values: dict[str, Any]) -> None:
    """What the data files tell.

    Raises:
        ConfigError: The first thing that is wrong.
    """
    check_batch(values)


def check_sft(chosen: Choices, values: dict[str, Any]) -> None:
    """What a composed SFT config tells.

    Raises:
        ConfigError: The first thing that is wrong.
    """
    check_values("sft", chosen.stack, values)
    check_env(values)
    path = _model(values, "model.path")
    check_tokenizer(path)
    check_sft_layout(values, shape_of(path, chosen.model))
    check_micro_batch(values)


RL_BUDGET = "actor_rollout_ref.actor.ppo_max_token_len_per_gpu"
SFT_BUDGET = "data.max_token_len_per_gpu"


def tell_rl_estimate(chosen: Choices, values: dict[str, Any], details: bool) -> None:
    """Print the estimate of an RL config, or only its warnings."""
    shape = shape_of(str(values["actor_rollout_ref"]["model"]["path"]), chosen.model)
    if shape is None:
        _tell_unknown(str(values["actor_rollout_ref"]["model"]["path"]))
        return
    device = device_memory(chosen.device, chosen.model)
    training, rollout = estimate_rl(values, shape, device)
    for line in [*training_lines(training, device), *rollout_lines(rollout)] if details else []:
        say(line)
    for line in [*training_warnings(training, device, RL_BUDGET), *rollout_warnings(rollout)]:
        say(f"  warning: {line}")


def tell_sft_estimate(chosen: Choices, values: dict[str, Any], details: bool) -> None:
    """Print the estimate of an SFT config, or only its warnings."""
    shape = shape_of(str(values["model"]["path"]), chosen.model)
    if shape is None:
        _tell_unknown(str(values["model"]["path"]))
        return
    device = device_memory(chosen.device, chosen.model)
    training = estimate_sft(values, shape)
    for line in training_lines(training, device) if details else []:
        say(line)
    for line in training_warnings(training, device, SFT_BUDGET):
        say(f"  warning: {line}")


def _model(values: dict[str, Any], key: str) -> str:
    """The path of the model; an empty one would be this folder."""
    path = str(look_up(values, key) or "").strip()
    if not path:
        raise ConfigError(f"{key} is not set: add model.path=PATH, a folder or a name on the hub")
    return path


def _tell_unknown(path: str) -> None:
    say(
        f"  no estimate, and no look at attention heads: the shape of {path} is unknown (no config.json of a "
        "dense decoder there)"
    )
