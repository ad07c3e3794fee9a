"""`retool doctor key=value ...`: a planned run."""

import shutil
from pathlib import Path

import pytest
from chat_styles import STYLES

from recipe.retool.device.checks import Check, Level
from recipe.retool.device.engine_checks import check_load
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.stages.run_checks import check_model, examine_run
from recipe.retool.tiny.files import TaskFiles, write_task


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TaskFiles:
    files = TaskFiles(tmp_path_factory.mktemp("task"))
    write_task(files, seed=0, sft_rows=8, train=64, test=8)
    return files


def levels(words: list[str]) -> dict[str, Check]:
    return {check.name: check for check in examine_run(words)}


def test_a_run_that_can_start(task: TaskFiles) -> None:
    words = ["device=cpu", "stack=verl_0_9", f"model.path={task.base}"]
    found = levels([*words, f"data.train_files={task.train}", f"data.val_files={task.test}"])
    assert {name: check.level for name, check in found.items() if check.level is Level.ERROR} == {}
    assert found["data.train_files"].found == "64 rows"
    assert "tokenizer loads" in found["model"].found


def test_a_config_that_is_refused_ends_the_list() -> None:
    found = examine_run(["device=cpu", "stack=verl_0_9", "model=qwen2_5_7b"])
    assert [check.name for check in found] == ["config"]
    assert found[0].level is Level.ERROR


def test_more_devices_than_there_are_is_an_error() -> None:
    words = ["device=gpu", "stack=verl_0_9", "model=qwen2_5_7b"]
    (found,) = examine_run(words, usable=4)
    assert (found.level, "set trainer.n_gpus_per_node=4" in found.fix) == (Level.ERROR, True)
    assert len(examine_run(words, usable=8)) > 1


def test_files_without_the_columns_are_errors(task: TaskFiles) -> None:
    words = ["device=cpu", "stack=verl_0_9", f"model.path={task.base}", f"data.val_files={task.sft}"]
    found = levels([*words, "data.train_files=no.parquet"])
    assert "no column" in found["data.val_files"].found
    assert "data.train_files=no.parquet" in found["data.train_files"].fix


def test_a_data_path_with_one_slash_is_no_name_on_the_hub(task: TaskFiles) -> None:
    words = ["device=cpu", "stack=verl_0_9", f"model.path={task.base}", f"data.val_files={task.test}"]
    found = levels([*words, "data.train_files=no/where"])["data.train_files"]
    assert (found.level, "no such file" in found.fix) == (Level.ERROR, True)


def test_a_tool_config_that_is_not_there_is_refused() -> None:
    word = "actor_rollout_ref.rollout.multi_turn.tool_config_path=no/where.yaml"
    assert [check.level for check in examine_run(["device=cpu", "stack=verl_0_9", word])] == [Level.ERROR]


def test_a_folder_that_is_no_model_is_an_error(tmp_path: Path) -> None:
    assert check_model(str(tmp_path)).level is Level.ERROR


def test_a_sandbox_under_load() -> None:
    with EmbeddedSandbox(workers=2) as sandbox:
        check = check_load(sandbox.url, concurrency=4)
    assert check.level is Level.OK
    assert "p95" in check.found


def test_a_dead_sandbox_under_load_is_an_error() -> None:
    assert check_load("http://127.0.0.1:9", concurrency=2).level is Level.ERROR


@pytest.mark.parametrize(("style", "level"), [("qwen2_5", Level.OK), ("qwen3", Level.WARNING)])
def test_the_drift_of_a_chat_template_is_told(
    style: str, level: Level, task: TaskFiles, tmp_path: Path
) -> None:
    folder = shutil.copytree(task.base, tmp_path / "model")
    (folder / "chat_template.jinja").write_text(STYLES[style])
    found = check_model(str(folder), {"enable_thinking": True})
    assert found.level is level
    assert ("two questions, thinking: " in found.found) == (level is Level.WARNING)
