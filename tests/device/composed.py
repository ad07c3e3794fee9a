"""Every combination of config groups, each composed once for all tests."""

import functools
import itertools
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from recipe.retool.errors import ConfigError
from recipe.retool.stages.choices import Choices, check_choices
from recipe.retool.stages.compose import compose_config, resolved

HERE = Path(__file__).resolve().parent
CONFIGS = HERE.parents[1] / "configs"
OLD_VERL = HERE / "verl_0_6_1"  # its config, flattened
DEVICES = ("cpu", "gpu", "npu")
STACKS = ("verl_0_9", "verl_0_6")
MODELS = tuple(sorted(path.stem for path in (CONFIGS / "model").glob("*.yaml")))
ALGORITHMS = tuple(sorted(path.stem for path in (CONFIGS / "algorithm").glob("*.yaml")))


def sensible(chosen: Choices) -> bool:
    """Does our own check let it pass?"""
    try:
        check_choices(chosen)
    except ConfigError:
        return False
    return True


EVERYTHING = [Choices(*words) for words in itertools.product(DEVICES, MODELS, ALGORITHMS, STACKS)]
COMBINATIONS = [chosen for chosen in EVERYTHING if sensible(chosen)]
NONSENSE = [chosen for chosen in EVERYTHING if not sensible(chosen)]
SFT = [chosen for chosen in COMBINATIONS if chosen.algorithm == "grpo"]


def name(chosen: Choices) -> str:
    return f"{chosen.stack}-{chosen.device}-{chosen.model}-{chosen.algorithm}"


def folder(stack: str) -> Path | None:
    """verl's config for a stack; None is that of the installed verl."""
    return OLD_VERL if stack == "verl_0_6" else None


@functools.cache
def rl_config(chosen: Choices) -> DictConfig:
    words = [f"{group}={getattr(chosen, group)}" for group in ("device", "model", "algorithm", "stack")]
    return compose_config("retool_ppo", words, folder(chosen.stack))


@functools.cache
def rl_values(chosen: Choices) -> dict[str, Any]:
    return resolved(rl_config(chosen))


@functools.cache
def sft_config(chosen: Choices) -> DictConfig:
    words = [f"sft/{group}={getattr(chosen, group)}" for group in ("device", "model", "stack")]
    return compose_config("retool_sft", words, folder(chosen.stack))


@functools.cache
def sft_values(chosen: Choices) -> dict[str, Any]:
    return resolved(sft_config(chosen))
