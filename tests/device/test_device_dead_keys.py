"""No key is dead: what we write is read, and what verl would ignore is refused with the name that is read."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from composed import CONFIGS, OLD_VERL, rl_config, rl_values
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from recipe.retool.errors import ConfigError
from recipe.retool.stages.choices import Choices
from recipe.retool.stages.compose import _verl_config
from recipe.retool.stages.dead_keys import check_values, check_words, dead_keys

PAIRS = [(stage, stack) for stage in ("rl", "sft") for stack in ("verl_0_9", "verl_0_6")]
TABLE = [(stage, stack, dead) for stage, stack in PAIRS for dead in dead_keys(stage, stack)]
NPU = Choices("npu", "qwen2_5_7b", "dapo", "verl_0_9")
# Sections that verl hands on as they are: to vLLM, to transformers, to Ray, to our own reward and sampler.
FREE = (
    "retool.",  # our own (recipe/retool/stages/option_checks.py)
    "data.env",  # our own, for the data sets
    "trainer.v1.sampler.sampler_kwargs.",
    "reward.custom_reward_function.reward_kwargs.",
    "custom_reward_function.reward_kwargs.",
    "reward_mix",
    "actor_rollout_ref.rollout.engine_kwargs.vllm.",
    "actor_rollout_ref.model.override_config.",
    "critic.model.override_config.",
    "model.override_config.",
    "ray_kwargs.ray_init.",
)
# Fields of verl's dataclasses that its YAML leaves out.
FIELDS = {
    "actor_rollout_ref.rollout.enable_sleep_mode": "verl.workers.config.RolloutConfig",
    "actor_rollout_ref.actor.fsdp_config.mixed_precision": "verl.workers.config.FSDPEngineConfig",
    "actor_rollout_ref.ref.fsdp_config.mixed_precision": "verl.workers.config.FSDPEngineConfig",
    "critic.fsdp.mixed_precision": "verl.workers.config.FSDPEngineConfig",
    "engine.mixed_precision": "verl.workers.config.FSDPEngineConfig",
}
# verl 0.6.1 has no such keys; `retool sft` reads them itself, to start torchrun.
OURS = ("trainer.nnodes", "trainer.n_gpus_per_node")


def keys(node: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from keys(value, f"{prefix}{key}.")
    elif prefix:
        yield prefix[:-1]


def verl_defaults(name: str, folder: Path) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(config_dir=str(folder), version_base=None):
        return compose(name)


def files(stage: str) -> list[Path]:
    """Our files of a stage, without those that are not Hydra configs."""
    if stage == "sft":
        return [CONFIGS / "retool_sft.yaml", *sorted((CONFIGS / "sft").rglob("*.yaml"))]
    rooms = ("algorithm", "device", "env", "model", "stack")
    return [
        CONFIGS / "retool_ppo.yaml",
        *(f for room in rooms for f in sorted((CONFIGS / room).rglob("*.yaml"))),
    ]


def written(stage: str, stack: str) -> dict[str, Path]:
    """Every key that our files for a stack write, and one file that writes it."""
    other = {"verl_0_9": "verl_0_6", "verl_0_6": "verl_0_9"}[stack]
    found: dict[str, Path] = {}
    for path in files(stage):
        if other in path.stem or (stack == "verl_0_6" and "cpu" in path.stem):
            continue
        content = OmegaConf.to_container(OmegaConf.load(path)) or {}
        assert isinstance(content, dict)
        content.pop("defaults", None)
        found |= dict.fromkeys(keys(content), path)
    return found


@pytest.mark.parametrize(("stage", "stack"), PAIRS)
def test_every_key_that_we_write_stands_in_the_config_of_verl(stage: str, stack: str) -> None:
    name = {"rl": "ppo_trainer", "sft": "sft_trainer_engine"}[stage]
    theirs = verl_defaults(name, OLD_VERL if stack == "verl_0_6" else _verl_config())
    ours = written(stage, stack)
    assert len(ours) > 10
    for key, path in ours.items():
        if key.startswith(FREE) or key.rsplit(".", 1)[0] in FIELDS or key in FIELDS:
            continue
        if (stage, stack) == ("sft", "verl_0_6") and key in OURS:
            continue
        parent, _, leaf = key.rpartition(".")
        section = OmegaConf.select(theirs, parent) if parent else theirs
        assert section is not None, f"{path}: {key}"
        assert leaf in set(section), f"{path}: {key}"


@pytest.mark.parametrize(("key", "target"), FIELDS.items())
def test_a_key_that_the_yaml_leaves_out_is_a_field_of_the_dataclass(key: str, target: str) -> None:
    from dataclasses import fields

    from hydra.utils import get_class

    assert key.rpartition(".")[2] in {field.name for field in fields(get_class(target))}


@pytest.mark.parametrize(("stage", "stack", "dead"), TABLE, ids=lambda value: getattr(value, "key", value))
def test_a_dead_key_on_the_command_line_is_refused_with_the_one_that_is_read(
    stage: str, stack: str, dead: Any
) -> None:
    with pytest.raises(ConfigError) as refusal:
        check_words(stage, stack, [f"+{dead.key}.x=1" if "." not in dead.key else f"{dead.key}=1"])
    assert dead.key in str(refusal.value)
    assert dead.use in str(refusal.value)


@pytest.mark.parametrize(("stage", "stack", "dead"), TABLE, ids=lambda value: getattr(value, "key", value))
def test_what_is_named_instead_is_not_dead_itself(stage: str, stack: str, dead: Any) -> None:
    check_words(stage, stack, [f"{dead.use.split(' ')[0]}=1"])


FILE_KEYS = [
    ("custom_reward_function.path", "x.py", "reward.custom_reward_function"),
    ("reward_model.reward_manager", "dapo", "reward.reward_model"),
    ("sandbox_fusion.url", "http://x", "reward.sandbox_fusion"),
    ("actor_rollout_ref.actor.use_torch_compile", False, "actor.fsdp_config.use_torch_compile"),
    ("actor_rollout_ref.ref.log_prob_max_token_len_per_gpu", 90112, "rollout.log_prob_max_token_len_per_gpu"),
    ("critic.ulysses_sequence_parallel_size", 4, "critic.fsdp.ulysses_sequence_parallel_size"),
]


@pytest.mark.parametrize(("key", "value", "instead"), FILE_KEYS)
def test_a_dead_key_in_a_config_file_is_refused(key: str, value: Any, instead: str) -> None:
    config = rl_config(NPU).copy()
    OmegaConf.update(config, key, value)
    with pytest.raises(ConfigError, match=key) as refusal:
        check_values("rl", "verl_0_9", OmegaConf.to_container(config, resolve=True))  # type: ignore[arg-type]
    assert instead in str(refusal.value)


def test_the_reward_that_verl_finds_at_the_old_place_is_none() -> None:
    from verl.trainer.ppo.reward import get_custom_reward_fn

    config = rl_config(NPU).copy()
    config.custom_reward_function.path = config.reward.custom_reward_function.path
    config.reward.custom_reward_function.path = None
    assert get_custom_reward_fn(config) is None


def test_verl_finds_our_reward() -> None:
    from verl.trainer.ppo.reward import get_custom_reward_fn

    score = get_custom_reward_fn(rl_config(NPU))
    assert score is not None
    assert score.args[0].__module__ == "recipe.retool.reward.score"


def test_verl_finds_our_dataset() -> None:
    from verl.utils.dataset.rl_dataset import get_dataset_class

    assert get_dataset_class(rl_config(NPU).data).__module__ == "recipe.retool.verl_ext.dataset"


def test_verl_finds_our_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    from verl.tools.tool_registry import initialize_tools_from_config

    monkeypatch.setenv("RETOOL_SANDBOX_URL", "http://127.0.0.1:8080")
    path = rl_values(NPU)["actor_rollout_ref"]["rollout"]["multi_turn"]["tool_config_path"]
    assert [type(tool).__name__ for tool in initialize_tools_from_config(path)] == ["CodeInterpreterTool"]


def test_verl_finds_our_agent_loop() -> None:
    from hydra.utils import get_class

    rollout = rl_values(NPU)["actor_rollout_ref"]["rollout"]
    entries = OmegaConf.load(rollout["agent"]["agent_loop_config_path"])
    chosen = {entry.name: entry._target_ for entry in entries}[rollout["agent"]["default_agent_loop"]]
    assert get_class(chosen).__module__ == "recipe.retool.verl_ext.agent_loop"
