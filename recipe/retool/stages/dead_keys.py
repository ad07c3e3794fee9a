"""Keys that Hydra accepts, or once accepted, and the installed verl does not read.

verl keeps some old keys in its config without reading them: a run with them starts, and trains without its
reward function. Here they end the run before it starts, with the new name. Read in verl 0.9.1:
``trainer/main_ppo.py`` (no ``migrate_legacy_reward_impl``), ``workers/engine/fsdp/transformer_impl.py`` (the
one place that reads ``use_torch_compile``), ``workers/config/critic.py``, ``trainer/config/``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from recipe.retool.device.stacks import DEFAULT_STACK, OLD_STACK
from recipe.retool.errors import ConfigError

_FREE = object()  # the key is not in verl's config at all


@dataclass(frozen=True)
class DeadKey:
    """One key, or a whole section.

    Attributes:
        key: As it is written.
        use: What to write instead.
        default: The value that verl's own config has there; only a different one in a file is refused.
    """

    key: str
    use: str
    default: Any = _FREE


_ACTOR, _REF, _ROLLOUT = (f"actor_rollout_ref.{part}" for part in ("actor", "ref", "rollout"))
_RL_NEW = (
    DeadKey("custom_reward_function", "reward.custom_reward_function", None),
    DeadKey("reward_model", "reward.reward_model (and reward.num_workers, reward.reward_manager)", None),
    DeadKey("sandbox_fusion", "reward.sandbox_fusion", None),
    DeadKey(f"{_ACTOR}.use_torch_compile", f"{_ACTOR}.fsdp_config.use_torch_compile", True),
    DeadKey(f"{_REF}.use_torch_compile", f"{_REF}.fsdp_config.use_torch_compile", True),
    DeadKey("critic.ulysses_sequence_parallel_size", "critic.fsdp.ulysses_sequence_parallel_size", 1),
    DeadKey("critic.model.fsdp_config", "critic.fsdp"),
    DeadKey("actor_rollout_ref.nccl_timeout", "nothing: no worker reads it", 600),
    DeadKey("critic.nccl_timeout", "nothing: no worker reads it", 600),
    DeadKey("data.return_raw_chat", "nothing: the messages are always there", True),
    DeadKey(
        f"{_ROLLOUT}.update_weights_bucket_megabytes",
        f"{_ROLLOUT}.checkpoint_engine.update_weights_bucket_megabytes",
    ),
    DeadKey(f"{_ROLLOUT}.multi_turn.interaction_config_path", "nothing: verl removed interactions"),
)
_RL_OLD = (
    DeadKey("reward", "custom_reward_function and reward_model"),
    DeadKey("critic.fsdp", "critic.model.fsdp_config"),
    DeadKey(f"{_ROLLOUT}.checkpoint_engine", "nothing: with vLLM, weights are not sent in buckets there"),
    DeadKey(f"{_ROLLOUT}.update_weights_bucket_megabytes", "nothing: read for SGLang alone", 512),
    DeadKey(f"{_ACTOR}.fsdp_config.use_torch_compile", f"{_ACTOR}.use_torch_compile", True),
    DeadKey(f"{_REF}.fsdp_config.use_torch_compile", f"{_REF}.use_torch_compile", True),
    DeadKey("transfer_queue.backend", "nothing: 0.6.1 has no such trainer"),
    DeadKey("trainer.v1", "nothing: 0.6.1 has no such trainer"),
    DeadKey("algorithm.filter_groups", "nothing: of 0.6.1 only the DAPO recipe reads it"),
)
_SFT = (  # keys of fsdp_sft_trainer, which verl 0.7.1 removed; neither stack uses it
    DeadKey("data.multiturn.messages_key", "data.messages_key"),
    DeadKey("data.multiturn.tools_key", "data.tools_key"),
    DeadKey("data.multiturn", "nothing: always on"),
    DeadKey("model.partial_pretrain", "model.path"),
    DeadKey("model.strategy", "engine.strategy"),
    DeadKey("model.fsdp_config", "engine"),
    DeadKey("ulysses_sequence_parallel_size", "engine.ulysses_sequence_parallel_size"),
    DeadKey("use_remove_padding", "model.use_remove_padding"),
    DeadKey("optim.lr_scheduler", "optim.lr_scheduler_type"),
    DeadKey("trainer.checkpoint", "checkpoint"),
)
_SFT_OLD = (
    *_SFT,
    DeadKey("data.ignore_input_ids_mismatch", "nothing: the key came with verl 0.7.0"),
    DeadKey("data.num_workers", "nothing: the key came after verl 0.6.1"),
)
_TABLES = {
    ("rl", DEFAULT_STACK): _RL_NEW,
    ("rl", OLD_STACK): _RL_OLD,
    ("sft", DEFAULT_STACK): _SFT,
    ("sft", OLD_STACK): _SFT_OLD,
}


def dead_keys(stage: str, stack: str) -> tuple[DeadKey, ...]:
    """The table of a stage ("rl" or "sft") on a stack."""
    return _TABLES[stage, stack]


def check_words(stage: str, stack: str, overrides: Sequence[str]) -> None:
    """Refuse an override of a key that verl does not read, whatever its value.

    Raises:
        ConfigError: Names the key and the one that is read.
    """
    for word in overrides:
        key = word.lstrip("+~").partition("=")[0]
        for dead in dead_keys(stage, stack):
            if key == dead.key or key.startswith(f"{dead.key}."):
                raise ConfigError(_message(key, stack, dead))


def check_values(stage: str, stack: str, values: dict[str, Any]) -> None:
    """Refuse a composed config that sets such a key in one of its files.

    Raises:
        ConfigError: Names the key and the one that is read.
    """
    for dead in dead_keys(stage, stack):
        if dead.default is _FREE:
            continue
        found: Any = values
        for part in dead.key.split("."):
            found = found.get(part, dead.default) if isinstance(found, dict) else dead.default
        for key, value in _leaves(dead.key, found):
            if value != dead.default:
                raise ConfigError(_message(f"{key}={value}", stack, dead))
    if stage == "rl":
        _check_reference(values)


def _check_reference(values: dict[str, Any]) -> None:
    """Without a KL term there is no reference worker, and nothing reads its token budget (both versions)."""
    model = values["actor_rollout_ref"]
    if values["algorithm"]["use_kl_in_reward"] or model["actor"]["use_kl_loss"]:
        return
    own, actor = model["ref"]["log_prob_max_token_len_per_gpu"], model["actor"]["ppo_max_token_len_per_gpu"]
    if own != actor:
        raise ConfigError(
            f"{_REF}.log_prob_max_token_len_per_gpu={own} is not read: without a KL term there is no "
            "reference worker. The pass over the old log-probabilities reads "
            f"{_ROLLOUT}.log_prob_max_token_len_per_gpu"
        )


def _message(key: str, stack: str, dead: DeadKey) -> str:
    return f"{key}: not read by the verl of stack={stack}; write {dead.use}"


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield key, value
        return
    for name, inner in value.items():
        yield from _leaves(f"{key}.{name}", inner)
