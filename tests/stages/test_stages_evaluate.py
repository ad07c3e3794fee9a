"""``retool evaluate`` up to the engine: what is named, what is refused, what is written."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scripted_server import Script, serving

from recipe.retool.cli import main
from recipe.retool.errors import ConfigError, StageError
from recipe.retool.evaluation.figures import EvalSummary, summarise
from recipe.retool.evaluation.problems import file_hash
from recipe.retool.evaluation.results import problem_table, render
from recipe.retool.stages import eval_model
from recipe.retool.stages.compose import compose_config
from recipe.retool.stages.eval_data import evaluation_files
from recipe.retool.stages.eval_job import Evaluation
from recipe.retool.stages.eval_model import resolve_model
from recipe.retool.stages.evaluate import run_evaluation
from recipe.retool.stages.merge import MARKER
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


def test_another_local_copy_replaces_the_rows_of_the_first(aime: Path, tmp_path: Path) -> None:
    """The hash of the data then tells the two apart."""
    (first,) = evaluation_files([f"aime-2025={aime}"], tmp_path / "data")
    before = file_hash([first])
    assert file_hash(evaluation_files([f"aime-2025={aime}"], tmp_path / "data")) == before
    rows = pq.read_table(aime).to_pylist()[:2]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "other.parquet")
    (again,) = evaluation_files([f"aime-2025={tmp_path / 'other.parquet'}"], tmp_path / "data")
    assert (again, len(pq.read_table(again))) == (first, 2)


def test_a_set_that_is_named_twice_is_refused(aime: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="named twice"):
        evaluation_files([f"aime-2025={aime}", f"aime-2025={aime}"], tmp_path / "data")


def test_a_set_on_no_hub_wants_a_path(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--data aime-2025-retool=PATH"):
        evaluation_files(["aime-2025-retool"], tmp_path)


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config.json.*no complete FSDP checkpoint"):
        resolve_model(str(tmp_path), tmp_path)


@pytest.mark.parametrize("model", ["no/such/folder", "/no/folder", "folder.gguf"])
def test_a_model_that_is_nowhere_is_refused_before_an_engine_starts(model: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"--model {model}: no such folder"):
        resolve_model(model, tmp_path)


@pytest.mark.parametrize("url", ["http://[::1", "http://", "http://host:port/v1"])
def test_an_impossible_address_is_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no address of a server"):
        resolve_model(url, tmp_path)


@pytest.mark.parametrize("url", ["http://me:secret@host/v1", "https://host/v1?key=secret"])
def test_a_secret_in_the_address_is_refused_and_not_shown(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a key goes into OPENAI_API_KEY") as caught:
        resolve_model(url, tmp_path)
    assert "secret" not in str(caught.value)


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


def test_shards_are_merged_anew_only_when_they_have_changed(
    task: TaskFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = tmp_path / "global_step_3" / "actor" / "model_world_size_1_rank_0.pt"
    (shard.parent / "huggingface").mkdir(parents=True)
    (shard.parent / "huggingface" / "config.json").write_bytes((task.base / "config.json").read_bytes())
    shard.write_bytes(b"weights")
    merged: list[Path] = []

    def merge(_: Path, output: Path, step: int | None) -> Path:
        merged.append(output)
        output.mkdir(exist_ok=True)
        (output / MARKER).write_text(json.dumps({"checkpoint": str(shard.parent), "step": step}))
        return output

    monkeypatch.setattr(eval_model, "run_merge", merge)
    first = resolve_model(str(tmp_path), tmp_path)
    assert resolve_model(str(tmp_path), tmp_path) == first
    (tmp_path / "hf" / MARKER).unlink()
    assert (
        resolve_model(str(tmp_path), tmp_path).identity == first.identity
    )  # a second merge is the same model
    assert len(merged) == 2
    shard.write_bytes(b"others")  # the run was repeated
    os.utime(shard, (2e9, 2e9))
    assert resolve_model(str(tmp_path), tmp_path).identity != first.identity
    assert len(merged) == 3


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


@dataclass(frozen=True)
class Finished:
    """An evaluation with two answers to each of eight problems, and its server."""

    script: Script
    wish: Evaluation
    summary: EvalSummary | None


@pytest.fixture(scope="module")
def finished(task: TaskFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    script, folder = answers(task), tmp_path_factory.mktemp("evaluation")
    words = ("device=cpu", "model=tiny", "actor_rollout_ref.rollout.val_kwargs.n=2")
    with serving(script) as url:
        wish = Evaluation(url, (str(task.test),), folder, words, tokenizer=str(task.base), concurrency=1)
        yield Finished(script, wish, run_evaluation(wish))


def test_an_evaluation_of_a_server_end_to_end_and_again(finished: Finished) -> None:
    asked = len(finished.script.asked)
    assert run_evaluation(finished.wish) == finished.summary
    assert asked == len(finished.script.asked)
    assert len((finished.wish.folder / "samples.jsonl").read_text().splitlines()) == 16
    summary = json.loads((finished.wish.folder / "summary.json").read_text())
    assert summary["n-samples"] == {"retool/arithmetic": {"original": 8, "effective": 8}}
    assert finished.summary is not None
    assert summary["results"]["retool/arithmetic"]["avg@2"] == finished.summary.accuracy


def test_problems_that_are_left_out_are_counted(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = (*finished.wish.overrides, "data.max_prompt_length=39")
    summary = run_evaluation(replace(finished.wish, folder=tmp_path, overrides=words))
    assert summary is not None
    assert 0 < summary.problems < 8
    assert f"{8 - summary.problems} problems left out" in capsys.readouterr().out


def test_fewer_answers_of_a_half_finished_evaluation_are_asked_for_all_problems(
    finished: Finished, tmp_path: Path
) -> None:
    """Eight answers are there, as many as there are problems, but of four problems alone."""
    folder = shutil.copytree(finished.wish.folder, tmp_path / "half")
    lines = (folder / "samples.jsonl").read_text().splitlines(keepends=True)
    (folder / "samples.jsonl").write_text("".join(lines[:8]))
    asked = len(finished.script.asked)
    words = (*finished.wish.overrides[:2], "actor_rollout_ref.rollout.val_kwargs.n=1")
    summary = run_evaluation(replace(finished.wish, folder=folder, overrides=words))
    assert summary is not None
    assert (summary.problems, summary.samples) == (8, 1)
    assert len(finished.script.asked) == asked + 4


@pytest.mark.parametrize(
    ("words", "key"),
    [("data.val_max_samples=2", "problems"), ("reward_mix=paper", "reward"), ("sampling=greedy", "sampling")],
)
def test_answers_of_another_setting_are_refused(finished: Finished, words: str, key: str) -> None:
    with pytest.raises(StageError, match=f"holds answers with {key}="):
        run_evaluation(replace(finished.wish, overrides=(*finished.wish.overrides, words)))


def test_no_file_of_an_evaluation_holds_the_key(
    task: TaskFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with serving(Script(lambda body: "wrong key sk-very-secret")) as url:
        words = ("device=cpu", "model=tiny", "data.val_max_samples=1")
        with pytest.raises(StageError, match=r"wrong key \(OPENAI_API_KEY\)"):
            run_evaluation(Evaluation(url, (str(task.test),), tmp_path, words))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path.name for path in files if b"very-secret" in path.read_bytes()] == []


def test_a_number_of_trajectories_below_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "m", "--data", "d", "--concurrency", "-1"]) == 2
    assert "--concurrency -1" in capsys.readouterr().err


def test_the_server_takes_neither_the_model_s_sampling_nor_a_key(
    task: TaskFiles, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A min_p of generation_config.json, say, does not hold in training."""
    monkeypatch.setenv("VLLM_API_KEY", "very-secret")
    words = ["evaluate", "--model", str(task.base), "--data", str(task.test), "--output", str(tmp_path)]
    assert main([*words, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "--generation-config vllm" in printed
    assert "very-secret" not in printed


def test_the_most_frequent_answer_in_the_table_is_the_one_that_maj_counts() -> None:
    rows = [{**ROW, "uid": f"a_{n}_0", "pred": pred} for n, pred in enumerate(["", "", "2"])]
    assert problem_table(rows).splitlines()[1].split(",")[6] == "2"


def test_figures_by_problem(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {**ROW, "uid": f"{problem}_{sample}_0", "acc": float(problem == "a" or sample == 0)}
        for problem in "ab"
        for sample in range(2)
    ]
    figures = summarise(rows)
    assert (figures.accuracy, figures.samples, figures.pass_at) == (0.75, 2, {1: 0.75, 2: 1.0})
    assert [line.split(",")[4] for line in problem_table(rows).splitlines()[1:]] == ["2", "1"]


@pytest.mark.parametrize("before", ["system\nx\n", ""])
def test_the_printed_table_shows_question_and_answers(before: str) -> None:
    printed = render([{**ROW, "input": f"{before}user\nWhat is 1+1?\n"}])
    assert "│ What is 1+1?" in printed
    assert "1/1" in printed
