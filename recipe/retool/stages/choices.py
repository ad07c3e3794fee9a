"""The groups that the overrides choose (device, model, algorithm, stack), and choices that make no sense."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import metadata

from recipe.retool.device.detect import AUTO, CPU, Detection, detect
from recipe.retool.device.stacks import DEFAULT_STACK, STACKS, check_device, stack_of
from recipe.retool.errors import ConfigError
from recipe.retool.stages.shapes import KNOWN_SHAPES

_DEFAULTS = {"device": CPU, "model": "tiny", "algorithm": "grpo", "stack": DEFAULT_STACK}  # as in configs/
_CPU_LIMIT = 1_000_000_000  # parameters
_TRAINING_BYTES = 16  # a parameter in float32: weight, gradient, two Adam moments


@dataclass(frozen=True)
class Choices:
    """What stands in the group overrides, or the configs' defaults."""

    device: str
    model: str
    algorithm: str
    stack: str


def choices_of(overrides: Sequence[str]) -> Choices:
    """Read ``device=``, ``model=``, ``algorithm=``, ``stack=`` (or ``sft/device=``); the last wins."""
    found = dict(_DEFAULTS)
    for word in overrides:
        key, _, value = word.removeprefix("sft/").partition("=")
        if key in found:
            found[key] = value
    return Choices(**found)


def resolve_auto(
    overrides: Sequence[str], look: Callable[[], Detection] = detect
) -> tuple[list[str], Detection | None]:
    """Replace ``device=auto`` by the device that is found.

    Returns:
        The overrides, and what was found and why (None when nothing had to be).

    Raises:
        ConfigError: There is an accelerator, but torch cannot use it. It never falls back to the CPU.
    """
    if choices_of(overrides).device != AUTO:
        return list(overrides), None
    found = look()
    if found.problem:
        raise ConfigError(
            f"device=auto: {found.device} ({'; '.join(found.evidence)}) does not work: {found.problem}"
        )
    words = [word for word in overrides if word.removeprefix("sft/") != f"device={AUTO}"]
    return [f"device={found.device}", *words], found


def model_path(overrides: Sequence[str], key: str) -> list[str]:
    """``model.path=X`` means the policy's path in RL too, where verl calls it ``key``."""
    return [f"{key}={word.removeprefix('model.path=')}" if word.startswith("model.path=") else word
            for word in overrides]  # fmt: skip


def check_choices(chosen: Choices) -> None:
    """Refuse combinations that cannot work.

    Raises:
        ConfigError: Says why, and what to choose.
    """
    check_device(chosen.stack, chosen.device)
    shape = KNOWN_SHAPES.get(chosen.model)
    if chosen.device == CPU and shape is not None and shape.parameters() > _CPU_LIMIT:
        need = shape.parameters() * _TRAINING_BYTES / 2**30
        raise ConfigError(
            f"device=cpu model={chosen.model}: weights, gradients and Adam's moments take {need:.0f} GiB in "
            "float32, and a step would take hours; choose model=tiny or model=qwen3_0_6b, or an accelerator"
        )


def check_installed(chosen: Choices, version: Callable[[str], str] = metadata.version) -> None:
    """Refuse a stack whose verl is not the installed one: half of its keys would be unknown or ignored.

    Raises:
        ConfigError: Names both versions.
    """
    wanted = stack_of(chosen.stack).verl
    try:
        found = version("verl")
    except metadata.PackageNotFoundError:
        return  # composing says how to install it
    if _minor(found) == _minor(wanted):
        return
    fits = [name for name in STACKS if _minor(stack_of(name).verl) == _minor(found)]
    hint = f"choose stack={fits[0]}" if fits else f"install verl=={wanted}"
    raise ConfigError(f"stack={chosen.stack} is made for verl {wanted}, installed is {found}: {hint}")


def _minor(version: str) -> tuple[str, ...]:
    return tuple(version.split(".")[:2])
