"""What ``retool evaluate`` is to do, as the process that does it reads it, and what tells it from another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.retool.evaluation.problems import file_hash
from recipe.retool.records.files import look_up
from recipe.retool.stages.eval_model import EvalModel
from recipe.retool.stages.numbers import whole

_ROLLOUT = "actor_rollout_ref.rollout"
_MOST_AT_ONCE = 256
_SELECTING = ("val_max_samples", "filter_overlong_prompts", "shuffle", "seed", "apply_chat_template_kwargs")
_VLLMS_OWN = {"top_k": -1, "repetition_penalty": 1.0}  # what servers may not know, and values without effect


@dataclass(frozen=True)
class Evaluation:
    """What to evaluate.

    Attributes:
        model: Hugging Face folder, FSDP checkpoint, hub name, or address of an OpenAI-compatible server.
        data: Parquet files, registered sets, or ``SET=PATH``.
        folder: Where the answers go.
        overrides: Hydra overrides of configs/retool_ppo.yaml.
        sandbox_url: Running sandboxes; None takes RETOOL_SANDBOX_URL, or starts one.
        tokenizer: Of a model on a server, for token ids in and out.
        model_name: Name of the model on a server that has several.
        seed: Seed of the answers.
        concurrency: Trajectories at a time; 0 takes what the config gives the engine.
    """

    model: str
    data: tuple[str, ...]
    folder: Path
    overrides: tuple[str, ...] = ()
    sandbox_url: str | None = None
    tokenizer: str = ""
    model_name: str = ""
    seed: int = 0
    concurrency: int = 0


def job_of(wish: Evaluation, model: EvalModel, files: list[str], values: dict[str, Any]) -> dict[str, Any]:
    """``job.json`` (verl_ext/evaluate_main.py); the address of a server of our own comes later."""
    sampling = sampling_of(values)
    if not model.tokenizer:
        sampling = {key: value for key, value in sampling.items() if _VLLMS_OWN.get(key) != value}
        sampling["max_tokens"] = whole(values, "data.max_response_length")
    at_once = look_up(values, f"{_ROLLOUT}.max_num_seqs") or _MOST_AT_ONCE
    return {
        "url": model.url,
        "model": model.served_name,
        "tokenizer": model.tokenizer,
        "files": files,
        "samples": whole(values, f"{_ROLLOUT}.val_kwargs.n"),
        "seed": wish.seed,
        "concurrency": wish.concurrency or min(int(at_once), _MOST_AT_ONCE),
        "sampling": sampling,
    }


def sampling_of(values: dict[str, Any]) -> dict[str, Any]:
    """What verl's validation samples with (verl/trainer/ppo/v1/agent_loop_tq.py)."""
    wanted = look_up(values, f"{_ROLLOUT}.val_kwargs")
    keys = ("temperature", "top_p", "top_k")
    return {**{key: wanted[key] for key in keys}, "repetition_penalty": 1.0}


def identity_of(
    wish: Evaluation, model: EvalModel, files: list[str], values: dict[str, Any]
) -> dict[str, Any]:
    """What all answers in one folder share; more answers a problem may be asked for later."""
    turns, data = look_up(values, f"{_ROLLOUT}.multi_turn"), values["data"]
    reward = values.get("reward", values)["custom_reward_function"]  # at the top in verl 0.6
    return {
        "model": dict(model.identity),
        "tokenizer": model.tokenizer,  # empty: chat messages
        "data": file_hash(files),
        "sampling": sampling_of(values),
        "seed": wish.seed,
        "retool": values["retool"],
        "reward": {key: reward.get(key) for key in ("name", "reward_kwargs")},
        "problems": {key: data.get(key) for key in _SELECTING},
        "lengths": [data["max_prompt_length"], data["max_response_length"]],
        "turns": [turns["max_assistant_turns"], turns["max_user_turns"]],
        "tools": file_hash([turns["tool_config_path"]]),
    }
