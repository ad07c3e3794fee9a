"""All combinations of config groups: they compose, pass our checks, and pass verl's own validation."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from composed import (
    ALGORITHMS,
    COMBINATIONS,
    CONFIGS,
    MODELS,
    NONSENSE,
    SFT,
    name,
    rl_config,
    rl_values,
    sft_config,
    sft_values,
)

from recipe.retool.device.memory import DeviceMemory
from recipe.retool.errors import ConfigError
from recipe.retool.stages.choices import Choices, check_choices
from recipe.retool.stages.estimate import estimate_rl, estimate_sft
from recipe.retool.stages.estimate_text import rollout_warnings, training_warnings
from recipe.retool.stages.preflight import check_rl, check_sft
from recipe.retool.stages.shapes import KNOWN_SHAPES

NEW = [chosen for chosen in COMBINATIONS if chosen.stack == "verl_0_9"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder, which verl's config of the critic looks into."""
    from recipe.retool.tiny.files import TaskFiles, write_task

    files = TaskFiles(tmp_path_factory.mktemp("task"))
    write_task(files, seed=0, sft_rows=8, train=8, test=8)
    return files.base


def test_the_groups_are_those_of_the_docs() -> None:
    assert ALGORITHMS == ("dapo", "grpo", "ppo")
    assert MODELS == ("qwen2_5_32b", "qwen2_5_7b", "qwen3_0_6b", "qwen3_4b", "tiny")
    assert len(COMBINATIONS) == 66  # 90, less 15 of the old verl on a CPU and 9 of large models on a CPU


@pytest.mark.parametrize("chosen", COMBINATIONS, ids=name)
def test_rl_composes_and_passes_our_checks(chosen: Choices) -> None:
    check_rl(chosen, rl_values(chosen))


@pytest.mark.parametrize("chosen", SFT, ids=name)
def test_sft_composes_and_passes_our_checks(chosen: Choices) -> None:
    check_sft(chosen, sft_values(chosen))


@pytest.mark.parametrize("chosen", NONSENSE, ids=name)
def test_nonsense_is_refused_with_a_choice_that_works(chosen: Choices) -> None:
    with pytest.raises(ConfigError, match=r"choose (stack=verl_0_9|model=tiny)"):
        check_choices(chosen)


@pytest.mark.parametrize("chosen", NEW, ids=name)
@pytest.mark.filterwarnings("ignore:Disabled critic")
def test_rl_passes_the_validation_of_verl(chosen: Choices, model: Path) -> None:
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config

    config = rl_config(chosen).copy()
    config.actor_rollout_ref.model.path = str(model)
    with contextlib.redirect_stdout(io.StringIO()):
        validate_config(config, need_reference_policy(config), need_critic(config))


# verl takes ref and critic apart itself; validate_config above has built the critic.
SECTIONS = (
    "actor_rollout_ref.actor",
    "actor_rollout_ref.rollout",
    "actor_rollout_ref.ref.fsdp_config",
    "critic.fsdp",
    "algorithm",
)


@pytest.mark.parametrize("section", SECTIONS)
@pytest.mark.parametrize("chosen", [one for one in NEW if one.algorithm == "ppo"], ids=name)
def test_a_section_becomes_the_dataclass_that_verl_names(chosen: Choices, section: str) -> None:
    from omegaconf import OmegaConf
    from verl.utils.config import omega_conf_to_dataclass

    assert omega_conf_to_dataclass(OmegaConf.select(rl_config(chosen), section)) is not None


@pytest.mark.parametrize("chosen", [one for one in SFT if one in NEW], ids=name)
def test_sft_sections_become_dataclasses(chosen: Choices) -> None:
    from verl.utils.config import omega_conf_to_dataclass

    config = sft_config(chosen)
    for section in ("engine", "optim", "checkpoint"):
        assert omega_conf_to_dataclass(config[section]) is not None


SIZED = [one for one in NEW if one.model in KNOWN_SHAPES and one.device != "cpu"]
MEMORY = {"gpu": 80.0, "npu": 64.0}
# Two longest sequences a device are published for GPUs, and fit into 80 GB.
TOO_LARGE = [Choices("npu", "qwen2_5_32b", "ppo", "verl_0_9")]


@pytest.mark.parametrize("chosen", SIZED, ids=name)
def test_the_estimate_agrees_with_what_is_published(chosen: Choices) -> None:
    size = 24.0 if (chosen.model, chosen.device) == ("qwen3_0_6b", "gpu") else MEMORY[chosen.device]
    values, shape = rl_values(chosen), KNOWN_SHAPES[chosen.model]
    device = DeviceMemory(size, "test")
    training, rollout = estimate_rl(values, shape, device)
    told = [*training_warnings(training, device, "x"), *rollout_warnings(rollout)]
    assert bool(told) == (chosen in TOO_LARGE)


@pytest.mark.parametrize("chosen", [one for one in SIZED if one in SFT], ids=name)
def test_sft_fits_by_the_estimate(chosen: Choices) -> None:
    size = 24.0 if (chosen.model, chosen.device) == ("qwen3_0_6b", "gpu") else MEMORY[chosen.device]
    training = estimate_sft(sft_values(chosen), KNOWN_SHAPES[chosen.model])
    assert training_warnings(training, DeviceMemory(size, "test"), "x") == []


COMMANDS = [
    ("verl.trainer.main_ppo", "retool_ppo", ["device=npu", "model=qwen2_5_7b", "algorithm=dapo"]),
    ("verl.trainer.sft_trainer", "retool_sft", ["sft/device=npu", "sft/model=qwen2_5_7b"]),
]


@pytest.mark.parametrize(("module", "config", "words"), COMMANDS)
def test_the_entry_points_of_verl_compose_our_configs(module: str, config: str, words: list[str]) -> None:
    command = [
        sys.executable,
        "-m",
        module,
        "--cfg",
        "job",
        "--config-dir",
        "configs",
        "--config-name",
        config,
    ]
    done = subprocess.run([*command, *words], cwd=CONFIGS.parent, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "device: npu" in done.stdout
