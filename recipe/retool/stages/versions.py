"""What a result was made with."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from recipe.retool.device.stacks import package_names

PACKAGES = tuple(dict.fromkeys(("retool-recipe", "verl", "transformers", "tensordict", "TransferQueue",
                               "math-verify", *package_names())))  # fmt: skip


def versions() -> dict[str, str]:
    """Installed versions of what matters, of Python, and the git revision when there is one."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    revision = _git_revision()
    return {**found, "git": revision} if revision else found


def _git_revision() -> str:
    here = Path(__file__).resolve().parent
    command = ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
