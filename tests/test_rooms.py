"""The rules that keep the rooms apart."""

import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "recipe" / "retool"
LIGHT = ("data", "tools", "sandbox", "reward")
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
