"""Does the model divide over the devices as the config says? Found here, not by an assert on rank 3."""

from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.stages.shapes import ModelShape

_ACTOR = "actor_rollout_ref.actor"
_ROLLOUT = "actor_rollout_ref.rollout"
_TRAIN_SP = f"{_ACTOR}.ulysses_sequence_parallel_size"
_INFER_TP = f"{_ROLLOUT}.tensor_model_parallel_size"


def check_rl_layout(values: dict[str, Any], shape: ModelShape | None) -> None:
    """Refuse sizes that do not divide each other in an RL config.

    Raises:
        ConfigError: Names the key, the numbers and values that fit.
    """
    actor, rollout = values["actor_rollout_ref"]["actor"], values["actor_rollout_ref"]["rollout"]
    world, per_node = _world(values), int(values["trainer"]["n_gpus_per_node"])
    sp, tp = int(actor["ulysses_sequence_parallel_size"]), int(rollout["tensor_model_parallel_size"])
    _check_divides(_TRAIN_SP, sp, world, f"the {world} devices")
    _check_divides(_INFER_TP, tp, world, f"the {world} devices")
    if tp > per_node:
        raise ConfigError(f"{_INFER_TP}={tp}: one engine does not span nodes; at most {per_node}")
    if shape is not None:
        _check_divides(_TRAIN_SP, sp, shape.heads, f"the model's {shape.heads} attention heads", world)
        _check_divides(_INFER_TP, tp, shape.heads, f"the model's {shape.heads} attention heads", per_node)
    if sp > 1 and not values["actor_rollout_ref"]["model"]["use_remove_padding"]:
        raise ConfigError(f"{_TRAIN_SP}={sp} needs actor_rollout_ref.model.use_remove_padding=True")
    if not values["trainer"].get("val_only"):
        _check_batch(values, world, sp)


def check_rl_lengths(values: dict[str, Any]) -> None:
    """Refuse token budgets that one longest sequence exceeds: verl fails in the middle of a step.

    Raises:
        ConfigError: Names the key and the least value.
    """
    data, actor = values["data"], values["actor_rollout_ref"]["actor"]
    rollout = values["actor_rollout_ref"]["rollout"]
    longest = int(data["max_prompt_length"]) + int(data["max_response_length"])
    limit = rollout.get("max_model_len")
    if limit is not None and int(limit) < longest:
        raise ConfigError(
            f"{_ROLLOUT}.max_model_len={limit} is less than data.max_prompt_length + "
            f"data.max_response_length = {longest}"
        )
    budget = int(actor["ppo_max_token_len_per_gpu"]) * int(actor["ulysses_sequence_parallel_size"])
    if actor["use_dynamic_bsz"] and budget < longest:
        raise ConfigError(
            f"{_ACTOR}.ppo_max_token_len_per_gpu={actor['ppo_max_token_len_per_gpu']} x sequence parallelism "
            f"{actor['ulysses_sequence_parallel_size']} cannot hold one sequence of {longest} tokens"
        )


def check_sft_layout(values: dict[str, Any], shape: ModelShape | None) -> None:
    """Refuse sizes that do not divide each other in an SFT config.

    Raises:
        ConfigError: Names the key, the numbers and values that fit.
    """
    data, key = values["data"], "engine.ulysses_sequence_parallel_size"
    world, sp = _world(values), int(values["engine"]["ulysses_sequence_parallel_size"])
    _check_divides(key, sp, world, f"the {world} devices")
    if shape is not None:
        _check_divides(key, sp, shape.heads, f"the model's {shape.heads} attention heads", world)
    if sp > 1 and not values["model"]["use_remove_padding"]:
        raise ConfigError(f"{key}={sp} needs model.use_remove_padding=True")
    budget = int(data["max_token_len_per_gpu"]) * sp
    if data["use_dynamic_bsz"] and budget < int(data["max_length"]):
        raise ConfigError(
            f"data.max_token_len_per_gpu={data['max_token_len_per_gpu']} x {key}={sp} cannot hold one "
            f"dialogue of data.max_length={data['max_length']} tokens: raise one of the first two"
        )


def _check_batch(values: dict[str, Any], world: int, sp: int) -> None:
    batch = int(values["data"]["train_batch_size"])
    mini = int(values["actor_rollout_ref"]["actor"]["ppo_mini_batch_size"])
    answers = int(values["actor_rollout_ref"]["rollout"]["n"])
    if mini < 1 or batch % mini:
        raise ConfigError(
            f"{_ACTOR}.ppo_mini_batch_size={mini} does not divide data.train_batch_size={batch}: "
            f"choose one of {_divisors(batch)}"
        )
    groups = world // sp
    if mini * answers % groups:
        raise ConfigError(
            f"{_ACTOR}.ppo_mini_batch_size={mini} x {_ROLLOUT}.n={answers} sequences are not a multiple of "
            f"the {groups} data-parallel ranks ({world} devices / sequence parallelism {sp})"
        )


def _world(values: dict[str, Any]) -> int:
    return int(values["trainer"]["n_gpus_per_node"]) * int(values["trainer"]["nnodes"])


def _check_divides(key: str, value: int, whole: int, what: str, most: int | None = None) -> None:
    if value < 1 or whole % value:
        fits = [n for n in _divisors(whole) if n <= (most or whole)]
        raise ConfigError(f"{key}={value} does not divide {what}: choose one of {fits}")


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]
