"""Tools are made once before the engine starts: a bad tool config stops there, with its file and key."""

from pathlib import Path
from typing import Any

import pytest

from recipe.retool.errors import ConfigError
from recipe.retool.stages.tool_checks import check_tools

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "tool"
DEAD = "http://127.0.0.1:9"


def _values(path: Path | None) -> dict[str, Any]:
    multi_turn = {"tool_config_path": None if path is None else str(path)}
    return {"actor_rollout_ref": {"rollout": {"multi_turn": multi_turn}}}


def _config(folder: Path, text: str) -> Path:
    path = folder / "tool.yaml"
    path.write_text("tools:\n- class_name: recipe.retool.verl_ext.tool.RegistryTool\n  config: " + text)
    return path


@pytest.mark.parametrize("name", ["code_interpreter.yaml", "two_tools.yaml"])
def test_the_configs_of_the_recipe_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETOOL_SANDBOX_URL", raising=False)
    check_tools(_values(CONFIGS / name), DEAD)
    with pytest.raises(ConfigError, match="sandbox_url"):
        check_tools(_values(CONFIGS / name), "")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{type: native, tool: browser}", "browser"),
        ("{type: native, tool: check_equal, stateful: true}", "stateful"),
        ("{type: native, tool: code_interpreter, session_seconds: 0}", "session_seconds"),
    ],
)
def test_a_bad_tool_config_names_its_file_and_key(tmp_path: Path, text: str, word: str) -> None:
    path = _config(tmp_path, text)
    with pytest.raises(ConfigError, match=rf"{path}.*{word}"):
        check_tools(_values(path), DEAD)


def test_tools_of_others_are_theirs(tmp_path: Path) -> None:
    path = tmp_path / "tool.yaml"
    path.write_text("tools:\n- class_name: verl.tools.gsm8k_tool.Gsm8kTool\n  config: {type: native}\n")
    check_tools(_values(path), DEAD)


def test_no_tools_no_check() -> None:
    check_tools(_values(None), DEAD)
