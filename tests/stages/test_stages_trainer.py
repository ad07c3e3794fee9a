"""ReToolTrainer: rows to parquet, arguments to overrides; the run itself is a slow test."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from recipe.retool import ReToolTrainer
from recipe.retool.errors import ConfigError, DataError
from recipe.retool.reward.registry import find_function
from recipe.retool.stages.trainer_reward import importable, reward_overrides
from recipe.retool.tiny.files import TaskFiles, write_task

ROWS = [{"prompt": f"What is {n}+1?", "answer": n + 1, "level": n} for n in range(4)]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TaskFiles:
    files = TaskFiles(tmp_path_factory.mktemp("task"))
    write_task(files, seed=0, sft_rows=8, train=8, test=8)
    return files


def dry_run(task: TaskFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str], **arguments: Any) -> str:
    trainer = ReToolTrainer(task.base, ROWS, output_dir=tmp_path, device="cpu", **arguments)
    assert trainer.train(dry_run=True) is None
    return capsys.readouterr().out


def test_rows_become_rows_of_verl(task: TaskFiles, tmp_path: Path) -> None:
    ReToolTrainer(task.base, ROWS, output_dir=tmp_path, device="cpu")
    row = pq.read_table(tmp_path / "train.parquet").to_pylist()[2]
    assert row["reward_model"]["ground_truth"] == "3"
    assert row["prompt"][0]["content"].startswith("What is 2+1?\n")
    assert row["extra_info"]["level"] == 2


def test_messages_stay_as_they_are(task: TaskFiles, tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    ReToolTrainer(task.base, [{"prompt": messages, "answer": "1"}], output_dir=tmp_path, device="cpu")
    assert pq.read_table(tmp_path / "train.parquet").to_pylist()[0]["prompt"] == messages


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no row"),
        ([*ROWS, {"prompt": "x"}], "row 4 of the train data set: 'answer' is missing"),
        ([{"answer": 1}], "row 0 of the train data set: 'prompt' is missing"),
        (["text"], "row 0 of the train data set is no mapping"),
        ([{"prompt": 3, "answer": 1}], "must be a text or a list of messages"),
    ],
)
def test_a_bad_row_is_named(task: TaskFiles, tmp_path: Path, rows: list[Any], told: str) -> None:
    with pytest.raises(DataError, match=told):
        ReToolTrainer(task.base, rows, output_dir=tmp_path, device="cpu")


def test_an_unknown_argument_is_named(task: TaskFiles, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'max_turn'"):
        ReToolTrainer(task.base, ROWS, output_dir=tmp_path, max_turn=3)


def test_arguments_become_overrides(
    task: TaskFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = dry_run(
        task, tmp_path, capsys, max_turns=10, temperature=0.7, max_completion_length=96, batch_size=2,
        mask_truncated_completions=True, env="retool",
    )  # fmt: skip
    for word in (
        "env=retool", "max_assistant_turns=10", "temperature=0.7", "max_response_length=96",
        "retool.masks.truncated=true", "train_batch_size=2",
    ):  # fmt: skip
        assert word in told


def test_weights_choose_the_reward(
    task: TaskFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told = dry_run(task, tmp_path, capsys, reward={"outcome": 1.0, "format": 0.2})
    assert "reward_mix.format=0.2" in told


def test_an_unknown_part_of_the_reward_is_refused(task: TaskFiles, tmp_path: Path) -> None:
    trainer = ReToolTrainer(task.base, ROWS, output_dir=tmp_path, device="cpu", reward={"outcom": 1.0})
    with pytest.raises(ConfigError, match="outcom"):
        trainer.train(dry_run=True)


def module_reward(facts: Any) -> float:
    return float(facts.correct)


@pytest.fixture
def clean_path() -> Iterator[None]:
    before = list(sys.path)
    yield
    assert sys.path == before


def test_a_function_of_a_module_is_named_as_it_is(tmp_path: Path) -> None:
    with importable(module_reward, tmp_path) as name:
        assert name == f"{__name__}:module_reward"


def test_a_function_of_a_notebook_can_be_imported(tmp_path: Path, clean_path: None) -> None:
    weight = 3.0
    with importable(lambda facts: weight, tmp_path) as name:
        assert find_function(f"pkg://{name}")(None) == 3.0


def test_a_reward_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="weights by part"):
        reward_overrides("outcome", "")  # type: ignore[arg-type]


@pytest.mark.slow
def test_training_from_python(task: TaskFiles, tmp_path: Path) -> None:
    trainer = ReToolTrainer(
        task.base, ROWS, output_dir=tmp_path, device="cpu", num_generations=2, batch_size=2, max_steps=1,
        max_completion_length=32, reward=lambda facts: float(len(facts.text) % 2),
    )  # fmt: skip
    trained = trainer.train()
    assert trained is not None
    assert (trained.model / "config.json").is_file()
    assert "critic/score/mean" in trained.metrics[-1].data
