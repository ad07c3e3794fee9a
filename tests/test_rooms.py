"""The rules that keep the rooms apart."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "recipe" / "retool"
LIGHT = ("data", "env", "tools", "sandbox", "reward", "records", "evaluation", "report", "watch")
HEAVY = ("torch", "ray", "verl", "vllm")


@pytest.mark.parametrize("room", LIGHT)
def test_light_rooms_import_no_engine(room: str) -> None:
    modules = [f"recipe.retool.{room}.{path.stem}" for path in (PACKAGE / room).glob("[a-z]*.py")]
    assert modules
    code = f"import sys, {', '.join(modules)}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_engines_are_imported_in_one_room_only() -> None:
    offenders = [
        str(path)
        for path in PACKAGE.rglob("*.py")
        if path.parent.name != "verl_ext"
        for line in path.read_text().splitlines()
        if line.lstrip().startswith(
            ("import verl", "from verl", "import ray", "from ray", "import vllm", "from vllm")
        )
    ]
    assert offenders == []


def test_no_recipe_init_hides_other_recipes() -> None:
    assert not (PACKAGE.parent / "__init__.py").exists()


ACCELERATOR = re.compile(r"\b(cuda|npu)\b")
# The CPU platform stands in for an accelerator, so it must name one.
MAY_NAME_ONE = {"cpu_platform.py", "cpu_plugin.py"}


def test_accelerators_are_named_in_the_device_room_only() -> None:
    files = [path for path in PACKAGE.rglob("*.py") if "device" not in path.relative_to(PACKAGE).parts]
    assert [str(p) for p in files if p.name not in MAY_NAME_ONE and ACCELERATOR.search(p.read_text())] == []


def test_accelerators_are_named_in_device_configs_only() -> None:
    configs = PACKAGE.parents[1] / "configs"
    files = [path for path in configs.rglob("*.yaml") if "device" not in path.relative_to(configs).parts]
    assert len(files) > 10
    for path in files:
        lines = [line.split("#")[0] for line in path.read_text().splitlines()]
        assert not ACCELERATOR.search("\n".join(lines)), path
