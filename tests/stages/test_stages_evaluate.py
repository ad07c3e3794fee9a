"""``retool evaluate`` up to the engine: what is named, what is refused, what is written."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scripted_server import Script, serving

from recipe.retool.cli import main
from recipe.retool.errors import ConfigError
from recipe.retool.evaluation.figures import summarise
from recipe.retool.evaluation.results import problem_table, render
from recipe.retool.stages.compose import compose_config
from recipe.retool.stages.eval_data import evaluation_files
from recipe.retool.stages.eval_model import resolve_model
from recipe.retool.stages.evaluate import Evaluation, run_evaluation
from recipe.retool.tiny.files import TaskFiles, write_task

ROW = {"uid": "a_0_0", "data_source": "sums", "input": "system\nx\nuser\nWhat is 1+1?\n", "gts": "2"}
ROW |= {"pred": "2", "acc": 1.0, "tool_calls": 2.0, "tool_ok": 1.0, "num_turns": 4.0}
ROW |= {"response_tokens": 30.0, "truncated": 0.0, "sandbox_unavailable": 0.0}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TaskFiles:
    files = TaskFiles(tmp_path_factory.mktemp("task"))
    write_task(files, seed=0, sft_rows=8, train=8, test=8)
    return files


@pytest.fixture
def aime(tmp_path: Path) -> Path:
    rows = [{"id": str(n), "problem": f"What is {n}+{n}?", "answer": str(2 * n)} for n in range(3)]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "raw.parquet")
    return tmp_path / "raw.parquet"


def test_a_local_copy_of_a_registered_set_is_converted(aime: Path, tmp_path: Path) -> None:
    (made,) = evaluation_files([f"aime-2025={aime}"], tmp_path / "data")
    assert {row["data_source"] for row in pq.read_table(made).to_pylist()} == {"aime_2025"}


def test_an_unknown_set_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--data aime-2031: .*aime-2024, "):
        evaluation_files(["aime-2031"], tmp_path)


def test_a_set_on_no_hub_wants_a_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data aime-2025-retool=PATH"):
        evaluation_files(["aime-2025-retool"], tmp_path)


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config.json.*no complete FSDP checkpoint"):
        resolve_model(str(tmp_path), tmp_path)


def test_a_server_with_several_models_wants_a_choice(tmp_path: Path) -> None:
    with serving(Script(lambda body: 500), models=("a", "b")) as url:
        with pytest.raises(ConfigError, match="serves a, b: choose one with --model-name"):
            resolve_model(url, tmp_path)
        assert resolve_model(url, tmp_path, served_name="b").served_name == "b"


def test_other_weights_in_the_same_folder_are_another_model(task: TaskFiles, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((task.base / name).read_bytes())
    before = resolve_model(str(tmp_path), tmp_path).identity
    (tmp_path / "model.safetensors").write_bytes(b"others")
    assert resolve_model(str(tmp_path), tmp_path).identity != before


@pytest.mark.parametrize(("name", "n", "top_p"), [("paper", 32, 0.7), ("upstream", 30, 0.6)])
def test_sampling_of_paper_and_upstream(name: str, n: int, top_p: float) -> None:
    config = compose_config("retool_ppo", [f"sampling={name}"])
    wanted = config.actor_rollout_ref.rollout.val_kwargs
    assert (wanted.n, wanted.top_p, wanted.temperature) == (n, top_p, 1.0)


def test_a_dry_run_tells_the_server_and_the_sampling(
    task: TaskFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--model", str(task.base), "--data", str(task.test), "--output", str(tmp_path)]
    assert main([*words, "--dry-run", "sampling=greedy"]) == 0
    printed = capsys.readouterr().out
    assert "vllm.entrypoints.openai.api_server" in printed
    assert '"temperature": 0' in printed
    assert not (tmp_path / "samples.jsonl").exists()


def test_a_server_that_is_not_there_ends_it(
    task: TaskFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", "--model", "http://127.0.0.1:9/v1", "--data", str(task.test)]
    assert main([*words, "--output", str(tmp_path)]) == 2
    assert "is it running" in capsys.readouterr().err


def answers(task: TaskFiles) -> Script:
    """A server whose model answers each prompt with 7."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(task.base)
    ids = tokenizer.encode("\\boxed{7}<|im_end|>", add_special_tokens=False)
    return Script(lambda body: {"text": "", "token_ids": ids})


def test_an_evaluation_of_a_server_end_to_end_and_again(task: TaskFiles, tmp_path: Path) -> None:
    script = answers(task)
    words = ("device=cpu", "model=tiny", "actor_rollout_ref.rollout.val_kwargs.n=2")
    with serving(script) as url:
        wish = Evaluation(url, (str(task.test),), tmp_path, words, tokenizer=str(task.base))
        first = run_evaluation(wish)
        asked = len(script.asked)
        assert run_evaluation(wish) == first
    assert asked == len(script.asked) == 16
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["n-samples"] == {"retool/arithmetic": {"original": 8, "effective": 8}}
    assert summary["results"]["retool/arithmetic"]["avg@2"] == first.accuracy  # type: ignore[union-attr]


def test_figures_by_problem(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {**ROW, "uid": f"{problem}_{sample}_0", "acc": float(problem == "a" or sample == 0)}
        for problem in "ab"
        for sample in range(2)
    ]
    figures = summarise(rows)
    assert (figures.accuracy, figures.samples, figures.pass_at) == (0.75, 2, {1: 0.75, 2: 1.0})
    assert [line.split(",")[4] for line in problem_table(rows).splitlines()[1:]] == ["2", "1"]


def test_the_printed_table_shows_question_and_answers() -> None:
    printed = render([ROW])
    assert "What is 1+1?" in printed
    assert "1/1" in printed
