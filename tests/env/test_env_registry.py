"""Environments by name, from other packages and by path."""

from pathlib import Path

import pytest

from recipe.retool.env.code_tags import CodeTagsEnv
from recipe.retool.env.hermes import HermesEnv
from recipe.retool.env.registry import env_class, env_names
from recipe.retool.env.text import TextEnv
from recipe.retool.errors import ConfigError

MODULE = """\
from recipe.retool.env.hermes import HermesEnv
class Mine(HermesEnv):
    name = "mine"
NUMBER = 3
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of somebody else, installed with entry points."""
    (tmp_path / "their_envs.py").write_text(MODULE)
    info = tmp_path / "their_envs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-envs\nVersion: 1\n")
    points = "mine = their_envs:Mine\nnothing = their_envs:Absent\n"
    points += "number = their_envs:NUMBER\nlost = no_module:X\n"
    (info / "entry_points.txt").write_text(f"[retool.envs]\n{points}")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_ours_are_known_by_name() -> None:
    assert [env_class(name) for name in ("hermes", "retool", "text")] == [HermesEnv, CodeTagsEnv, TextEnv]


@pytest.mark.parametrize("name", ["mine", "pkg://their_envs:Mine"])
def test_an_environment_of_another_package(package: Path, name: str) -> None:
    found = env_class(name)
    assert (found.__name__, found.name) == ("Mine", "mine")
    assert issubclass(found, HermesEnv)


def test_names_of_other_packages_are_listed(package: Path) -> None:
    assert {"hermes", "retool", "text", "mine"} <= set(env_names())


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("hermse", "unknown; known: "),
        ("nothing", "cannot be imported.*Absent"),
        ("lost", "cannot be imported.*no_module"),
        ("number", "3 is no recipe.retool.env.base.ToolEnv"),
        ("pkg://their_envs", "write pkg://module:Class"),
        ("pkg://no_module:X", "cannot be imported.*no_module"),
        ("pkg://their_envs:Absent", "cannot be imported.*Absent"),
        ("pkg://:Mine", "cannot be imported"),
        ("pkg://their_envs:NUMBER", "is no recipe.retool.env.base.ToolEnv"),
        ("pkg://os:path", "is no recipe.retool.env.base.ToolEnv"),
        ("", "unknown; known: "),
    ],
)
def test_a_wrong_name_says_what_is_wrong(package: Path, name: str, told: str) -> None:
    with pytest.raises(ConfigError, match=f"retool.env.name={name}: .*{told}"):
        env_class(name)


def test_a_module_that_fails_names_its_error(package: Path) -> None:
    (package / "broken_env.py").write_text("1/0\n")
    with pytest.raises(ConfigError, match=r"pkg://broken_env:X.*division by zero"):
        env_class("pkg://broken_env:X")
