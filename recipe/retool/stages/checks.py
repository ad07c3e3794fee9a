"""What can be found wrong with a config before an engine starts, besides paths."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.records.files import look_up
from recipe.retool.reward.settings import RewardSettings
from recipe.retool.stages.numbers import share, whole

OWN_REWARD = ("pkg://recipe.retool.retool", "recipe/retool/retool.py")  # verl 0.9, verl 0.6

# verl's own (trainer/ppo/core_algos.py, workers/rollout/replica.py). 0.6.1 lacks the last three, and trtllm.
ESTIMATORS = (
    *("gae", "grpo", "reinforce_plus_plus", "reinforce_plus_plus_baseline", "remax", "rloo", "opo"),
    *("grpo_passk", "gpg", "rloo_vectorized", "grpo_vectorized"),
    *("optimal_token_baseline", "tir_optimal_token_baseline", "gdpo"),
)
ENGINES = ("vllm", "sglang", "trtllm")


def check_names(values: dict[str, Any]) -> None:
    """Refuse an estimator or a rollout engine that verl does not have, and an impossible share of memory.

    Raises:
        ConfigError: Names the key and what it may be.
    """
    engine = "actor_rollout_ref.rollout.name"
    for key, known in (("algorithm.adv_estimator", ESTIMATORS), (engine, ENGINES)):
        if look_up(values, key) not in known:
            raise ConfigError(f"{key}={look_up(values, key)}: unknown; known are {', '.join(known)}")
    share(values, "actor_rollout_ref.rollout.gpu_memory_utilization")


def check_reward(values: dict[str, Any]) -> None:
    """Refuse unknown or impossible ``reward_kwargs`` of this recipe's ``compute_score``.

    Raises:
        ConfigError: Names the key.
    """
    reward_settings(values)


def reward_settings(values: Mapping[str, Any]) -> RewardSettings | None:
    """Settings of this recipe's ``compute_score``; None when another function makes the reward.

    Raises:
        ConfigError: They are impossible, or ``reward_kwargs.parts`` was set around ``reward_mix``, which
            loses the parts that stand there.
    """
    reward = values.get("reward", values)["custom_reward_function"]
    if not str(reward["path"]).endswith(OWN_REWARD):
        return None
    kwargs = reward.get("reward_kwargs") or {}
    settings = RewardSettings.from_kwargs(kwargs, strict=True)
    mix = values.get("reward_mix")
    if mix is not None and kwargs.get("parts") != mix:
        raise ConfigError(
            f"reward_kwargs.parts={kwargs.get('parts')} is not reward_mix={mix}: "
            "set reward_mix.NAME=WEIGHT instead"
        )
    return settings


def check_batch(values: dict[str, Any]) -> None:
    """Refuse local training files that hold less than one batch: verl then divides by zero steps.

    Raises:
        ConfigError: Names the key and both numbers.
    """
    import pyarrow.parquet as pq

    data = values["data"]
    files = data["train_files"] if isinstance(data["train_files"], list) else [data["train_files"]]
    paths = [Path(str(file)).expanduser() for file in files]
    if values["trainer"].get("val_only") or not all(p.is_file() and p.suffix == ".parquet" for p in paths):
        return
    rows = sum(pq.read_metadata(path).num_rows for path in paths)
    if rows < data["train_batch_size"]:
        raise ConfigError(
            f"data.train_files has {rows} rows, fewer than data.train_batch_size={data['train_batch_size']}: "
            "set a smaller batch (and actor_rollout_ref.actor.ppo_mini_batch_size) or use more data"
        )


def check_micro_batch(values: dict[str, Any]) -> None:
    """Refuse an SFT batch that its ranks and micro-batches do not divide.

    Raises:
        ConfigError: Names the keys and a micro-batch that fits.
    """
    trainer, data = values["trainer"], values["data"]
    # Ranks that share a sequence share its batch too.
    ranks = (
        trainer["n_gpus_per_node"] * trainer["nnodes"] // values["engine"]["ulysses_sequence_parallel_size"]
    )
    batch = whole(values, "data.train_batch_size")
    micro = 1 if data["use_dynamic_bsz"] else whole(values, "data.micro_batch_size_per_gpu")
    rows = batch // ranks
    if batch % ranks:
        raise ConfigError(f"data.train_batch_size={batch} is not divisible by {ranks} ranks")
    if not data["use_dynamic_bsz"] and rows % micro:
        raise ConfigError(
            f"data.train_batch_size={batch} gives each of {ranks} ranks {rows} rows, not a multiple of "
            f"data.micro_batch_size_per_gpu={micro}: set the latter to {math.gcd(rows, micro)}"
        )
