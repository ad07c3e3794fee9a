"""Checks of what is installed: versions, entry points, the namespace package."""

import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from recipe.retool.device.checks import Check, error, ok, warning
from recipe.retool.device.detect import CPU, GPU, NPU
from recipe.retool.device.stacks import DEFAULT_STACK, SPARE, check_device, stack_of

DISTRIBUTION = "retool-recipe"
_INSTALL = {
    CPU: "bash scripts/setup_env.sh",
    GPU: "bash scripts/setup_gpu.sh",
    NPU: "bash scripts/setup_npu.sh",
}
_ENTRY_POINTS = {
    "verl.plugins": "recipe.retool.verl_ext.verl_plugin",
    "vllm.general_plugins": "recipe.retool.verl_ext.vllm_plugin:register",
}


def requirements(device: str, stack: str = DEFAULT_STACK) -> list[Requirement]:
    """What a device needs on a stack: its list in ``stacks``, and what setup.py declares.

    setup.py's extras are for the default stack; of the others it gives what needs no engine.
    """
    check_device(stack, device)
    by_hand = [Requirement(line) for line in stack_of(stack).packages[device]]
    try:
        declared = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        declared = []
    extra = device if stack == DEFAULT_STACK else ""
    ours = [one for one in declared if one.marker is None or one.marker.evaluate({"extra": extra})]
    named = {one.name for one in by_hand}
    return [*by_hand, *(one for one in ours if one.name not in named)]


def check_installed() -> Check:
    """The recipe itself is installed: without that verl and vLLM do not see its plugins."""
    try:
        return ok(DISTRIBUTION, metadata.version(DISTRIBUTION))
    except metadata.PackageNotFoundError:
        return error(DISTRIBUTION, "not installed", "pip install --no-deps -e . in the checkout")


def check_version(
    wanted: Requirement, device: str, version: Callable[[str], str] = metadata.version
) -> Check:
    """A package is there, in a version that the recipe is made for."""
    try:
        found = version(wanted.name)
    except metadata.PackageNotFoundError:
        report = warning if wanted.name in SPARE else error
        return report(wanted.name, "not installed", f"wanted {wanted}: {_INSTALL[device]}")
    if wanted.specifier.contains(found, prereleases=True):
        return ok(wanted.name, found)
    return warning(wanted.name, f"{found}, made for {wanted.specifier}", f"untried; see {_INSTALL[device]}")


def check_triton(version: Callable[[str], str] = metadata.version) -> Check:
    """On an NPU, ``triton`` overwrites files of triton-ascend: both own the folder of that name."""
    try:
        found = version("triton")
    except metadata.PackageNotFoundError:
        return ok("triton", "only triton-ascend's")
    fix = "pip uninstall triton, then install triton-ascend again: bash scripts/setup_npu.sh"
    return error("triton", f"{found} overwrites triton-ascend", fix)


def check_entry_points(device: str) -> list[Check]:
    """verl and vLLM will load the plugins of the recipe (needed on the CPU, inert elsewhere)."""
    return [_check_entry_point(group, target, device) for group, target in _ENTRY_POINTS.items()]


def _check_entry_point(group: str, target: str, device: str) -> Check:
    if target in {point.value for point in metadata.entry_points(group=group)}:
        return ok(group, target)
    report = error if device == CPU else warning
    return report(
        group, "the recipe's plugin is not registered", "pip install --no-deps -e . in the checkout"
    )


def check_namespace(folders: Iterable[str] | None = None) -> Check:
    """No other package called ``recipe`` hides this one.

    An ``__init__.py`` anywhere on the path wins over a namespace package. The engines are started with
    ``python -m``, which puts the working directory on that path.
    """
    searched = [str(Path.cwd()), *sys.path] if folders is None else folders
    for folder in searched:
        intruder = Path(folder or ".") / "recipe" / "__init__.py"
        if intruder.is_file():
            return error("namespace", f"{intruder} hides recipe.retool", "delete it, or take it off the path")
    return ok("namespace", "no recipe/__init__.py on the path")
