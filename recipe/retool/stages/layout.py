"""Does the model divide over the devices as the config says? Found here, not by an assert on rank 3."""

from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.records.files import look_up
from recipe.retool.stages.numbers import whole
from recipe.retool.stages.shapes import ModelShape

_ACTOR = "actor_rollout_ref.actor"
_ROLLOUT = "actor_rollout_ref.rollout"
_REF = "actor_rollout_ref.ref"
_TRAIN_SP = f"{_ACTOR}.ulysses_sequence_parallel_size"
_INFER_TP = f"{_ROLLOUT}.tensor_model_parallel_size"
# The first key that is above 1 is the one that verl takes: it copies the first to the second.
_ACTOR_SP = (_TRAIN_SP, f"{_ACTOR}.fsdp_config.ulysses_sequence_parallel_size")
_CRITIC_SP = (
    "critic.fsdp.ulysses_sequence_parallel_size",
    "critic.ulysses_sequence_parallel_size",
)  # 0.9, 0.6
_REF_SP = (f"{_REF}.ulysses_sequence_parallel_size", f"{_REF}.fsdp_config.ulysses_sequence_parallel_size")


def check_rl_layout(values: dict[str, Any], shape: ModelShape | None) -> None:
    """Refuse sizes that do not divide each other in an RL config.

    Raises:
        ConfigError: Names the key, the numbers and values that fit.
    """
    world, per_node = _world(values), whole(values, "trainer.n_gpus_per_node")
    tp = whole(values, _INFER_TP)
    _check_sequence_parallel(values, _ACTOR_SP, world, shape, "actor_rollout_ref.model")
    if has_critic(values):
        _check_sequence_parallel(values, _CRITIC_SP, world, shape, "critic.model")
    if has_reference(values):
        _check_sequence_parallel(values, _REF_SP, world, shape, "actor_rollout_ref.model")
    _check_divides(_INFER_TP, tp, world, f"the {world} devices")
    if tp > per_node:
        raise ConfigError(f"{_INFER_TP}={tp}: one engine does not span nodes; at most {per_node}")
    if shape is not None:
        _check_divides(_INFER_TP, tp, shape.heads, f"the model's {shape.heads} attention heads", per_node)
    if not values["trainer"].get("val_only"):
        _check_batch(values, world, _parallel(values, _ACTOR_SP)[1])


def check_rl_lengths(values: dict[str, Any], context: int | None = None) -> None:
    """Refuse token budgets that one longest sequence exceeds: verl fails in the middle of a step.

    Args:
        values: A resolved RL config.
        context: Most positions of the model; None when unknown. Engines cut a turn there without a word, and
            refuse the next one.

    Raises:
        ConfigError: Names the key and the least value.
    """
    longest = whole(values, "data.max_prompt_length") + whole(values, "data.max_response_length")
    limit = look_up(values, f"{_ROLLOUT}.max_model_len")
    if limit is not None and whole(values, f"{_ROLLOUT}.max_model_len") < longest:
        raise ConfigError(
            f"{_ROLLOUT}.max_model_len={limit} is less than data.max_prompt_length + "
            f"data.max_response_length = {longest}"
        )
    if context is not None and context < longest:
        raise ConfigError(
            f"data.max_prompt_length + data.max_response_length = {longest}, and the model has {context} "
            "positions (max_position_embeddings of its config.json): lower them, or choose a model with more"
        )
    _check_budget(values, f"{_ACTOR}.use_dynamic_bsz", f"{_ACTOR}.ppo_max_token_len_per_gpu", _ACTOR_SP)
    log_prob = ("log_prob_use_dynamic_bsz", "log_prob_max_token_len_per_gpu")
    _check_budget(values, f"{_ROLLOUT}.{log_prob[0]}", f"{_ROLLOUT}.{log_prob[1]}", _ACTOR_SP)
    if has_reference(values):
        _check_budget(values, f"{_REF}.{log_prob[0]}", f"{_REF}.{log_prob[1]}", _REF_SP)
    if has_critic(values):
        for key in ("ppo_max_token_len_per_gpu", "forward_max_token_len_per_gpu"):
            _check_budget(values, "critic.use_dynamic_bsz", f"critic.{key}", _CRITIC_SP)


def has_critic(values: dict[str, Any]) -> bool:
    """Whether verl trains a critic (``need_critic`` in both versions)."""
    wish = look_up(values, "critic.enable")
    return look_up(values, "algorithm.adv_estimator") == "gae" if wish is None else bool(wish)


def has_reference(values: dict[str, Any]) -> bool:
    """Whether verl builds a reference worker: it does for a KL term."""
    return bool(look_up(values, "algorithm.use_kl_in_reward") or look_up(values, f"{_ACTOR}.use_kl_loss"))


def check_sft_layout(values: dict[str, Any], shape: ModelShape | None) -> None:
    """Refuse sizes that do not divide each other in an SFT config.

    Raises:
        ConfigError: Names the key, the numbers and values that fit.
    """
    data, key = values["data"], "engine.ulysses_sequence_parallel_size"
    world, sp = _world(values), whole(values, key)
    _check_divides(key, sp, world, f"the {world} devices")
    if shape is not None:
        _check_divides(key, sp, shape.heads, f"the model's {shape.heads} attention heads", world)
    if sp > 1 and not values["model"]["use_remove_padding"]:
        raise ConfigError(f"{key}={sp} needs model.use_remove_padding=True")
    longest = whole(values, "data.max_length")
    if data["use_dynamic_bsz"] and whole(values, "data.max_token_len_per_gpu") * sp < longest:
        raise ConfigError(
            f"data.max_token_len_per_gpu={data['max_token_len_per_gpu']} x {key}={sp} cannot hold one "
            f"dialogue of data.max_length={data['max_length']} tokens: raise one of the first two"
        )


def _parallel(values: dict[str, Any], keys: tuple[str, ...]) -> tuple[str, int]:
    """The key of sequence parallelism that counts, and its value."""
    found = [(key, whole(values, key)) for key in keys if look_up(values, key) is not None]
    return next((one for one in found if one[1] > 1), found[0] if found else (keys[0], 1))


def _check_sequence_parallel(
    values: dict[str, Any], keys: tuple[str, ...], world: int, shape: ModelShape | None, model: str
) -> None:
    key, sp = _parallel(values, keys)
    _check_divides(key, sp, world, f"the {world} devices")
    if shape is not None:
        _check_divides(key, sp, shape.heads, f"the model's {shape.heads} attention heads", world)
    if sp > 1 and not look_up(values, f"{model}.use_remove_padding"):
        raise ConfigError(f"{key}={sp} needs {model}.use_remove_padding=True")


def _check_budget(values: dict[str, Any], dynamic: str, key: str, parallel: tuple[str, ...]) -> None:
    if not look_up(values, dynamic) or look_up(values, key) is None:
        return
    longest = whole(values, "data.max_prompt_length") + whole(values, "data.max_response_length")
    budget, sp = whole(values, key), _parallel(values, parallel)[1]
    if budget * sp < longest:
        raise ConfigError(
            f"{key}={budget} x sequence parallelism {sp} cannot hold one sequence of {longest} tokens: "
            f"set {key}={-(-longest // sp)} or more"
        )


def _check_batch(values: dict[str, Any], world: int, sp: int) -> None:
    batch = whole(values, "data.train_batch_size")
    mini = whole(values, f"{_ACTOR}.ppo_mini_batch_size")
    answers = whole(values, f"{_ROLLOUT}.n")
    if batch % mini:
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
    return whole(values, "trainer.n_gpus_per_node") * whole(values, "trainer.nnodes")


def _check_divides(key: str, value: int, whole: int, what: str, most: int | None = None) -> None:
    if value < 1 or whole % value:
        fits = [n for n in _divisors(whole) if n <= (most or whole)]
        raise ConfigError(f"{key}={value} does not divide {what}: choose one of {fits}")


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]
