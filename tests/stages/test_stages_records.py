"""What stages remember and report: ledger, metrics, summaries, checkpoints, error logs."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.errors import StageError
from recipe.retool.evaluation.at_k import bootstrap_interval
from recipe.retool.evaluation.figures import summarise
from recipe.retool.records.metrics_log import MetricsTail, StepMetrics, attempt_file, merge_attempts
from recipe.retool.records.trajectories import read_trajectories
from recipe.retool.stages.engine_log import last_error
from recipe.retool.stages.ledger import open_ledger
from recipe.retool.stages.merge import find_checkpoint, run_merge
from recipe.retool.stages.progress import train_line

ROW = {"uid": "a_0_0", "acc": 1.0, "tool_calls": 2.0, "tool_ok": 1.0, "num_turns": 4.0}
ROW |= {"response_tokens": 30.0, "truncated": 0.0, "sandbox_unavailable": 0.0}


def test_a_finished_stage_is_skipped(tmp_path: Path) -> None:
    for expected in (True, False):
        with open_ledger(tmp_path, {"seed": 0}) as ledger, ledger.stage("sft", "...") as todo:
            assert todo is expected


def test_a_failed_stage_runs_again(tmp_path: Path) -> None:
    with pytest.raises(StageError), open_ledger(tmp_path, {}) as ledger, ledger.stage("sft", "..."):
        raise StageError("no")
    with open_ledger(tmp_path, {}) as ledger:
        assert not ledger.done("sft")


def test_other_settings_need_another_folder(tmp_path: Path) -> None:
    with open_ledger(tmp_path, {"seed": 0}) as ledger, ledger.stage("sft", "..."):
        pass
    with pytest.raises(StageError, match="seed=0, not 1"), open_ledger(tmp_path, {"seed": 1}):
        pass


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with open_ledger(tmp_path, {}), pytest.raises(StageError, match="in use"), open_ledger(tmp_path, {}):
        pass


def test_a_half_written_metric_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1, "data": {}}\n{"step": 2, "da')
    tail = MetricsTail(path)
    assert [record.step for record in tail.new()] == [1]
    with path.open("a") as stream:
        stream.write('ta": {}}\n')
    assert [record.step for record in tail.new()] == [2]


def test_metrics_of_an_interrupted_attempt_are_kept(tmp_path: Path) -> None:
    for steps in ((1, 2), (2, 3)):
        lines = [json.dumps({"step": step, "data": {"x": step}}) + "\n" for step in steps]
        attempt_file(tmp_path).write_text("".join(lines))
    merged = merge_attempts(tmp_path, tmp_path / "metrics.jsonl")
    assert [record.step for record in merged] == [1, 2, 3]


@pytest.mark.parametrize("text", ["", '{"a": 1}\n{"b', None])
def test_unreadable_trajectories_are_a_clear_error(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "0.jsonl"
    if text is not None:
        path.write_text(text)
    with pytest.raises(StageError, match=r"0\.jsonl"):
        read_trajectories(path)


def test_a_line_separator_inside_an_answer_does_not_cut_its_row(tmp_path: Path) -> None:
    (tmp_path / "0.jsonl").write_text(json.dumps({"output": "a\u2028b\x85c"}, ensure_ascii=False) + "\n")
    assert read_trajectories(tmp_path / "0.jsonl") == [{"output": "a\u2028b\x85c"}]


def test_an_attempt_never_takes_the_name_of_a_later_one(tmp_path: Path) -> None:
    (tmp_path / "attempt_2.jsonl").write_text("")
    assert attempt_file(tmp_path).name == "attempt_3.jsonl"


def test_avg_at_k_weighs_problems_alike() -> None:
    rows = [ROW, {**ROW, "uid": "a_1_0", "acc": 0.0}, {**ROW, "uid": "b_0_0", "acc": 0.0}]
    summary = summarise(rows)
    assert (summary.problems, summary.accuracy, summary.code_pass_rate) == (2, 0.25, 0.5)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_bootstrap_interval_lies_within_the_values(values: list[float]) -> None:
    low, high = bootstrap_interval(values)
    assert min(values) - 1e-9 <= low <= high <= max(values) + 1e-9


def shard(folder: Path, rank: int, world: int) -> None:
    (folder / "huggingface").mkdir(parents=True, exist_ok=True)
    (folder / "huggingface" / "config.json").write_text("{}")
    (folder / f"model_world_size_{world}_rank_{rank}.pt").write_text("")


def test_the_latest_complete_checkpoint_is_found(tmp_path: Path) -> None:
    shard(tmp_path / "global_step_9" / "actor", 0, 1)
    shard(tmp_path / "global_step_10" / "actor", 0, 1)
    shard(tmp_path / "global_step_11" / "actor", 0, 2)  # its second shard was never written
    assert find_checkpoint(tmp_path).step == 10
    assert find_checkpoint(tmp_path, step=9).step == 9


def test_an_empty_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no complete FSDP checkpoint"):
        find_checkpoint(tmp_path)


def test_merge_never_replaces_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    shard(tmp_path / "global_step_1", 0, 1)
    (tmp_path / "hf").mkdir()
    with pytest.raises(StageError, match="not written by"):
        run_merge(tmp_path / "global_step_1", tmp_path / "hf")


LOG = """\
(WorkerDict pid=12) Traceback (most recent call last):
(WorkerDict pid=12)   File "x.py", line 3, in f
(WorkerDict pid=12) FileNotFoundError: no such model
Traceback (most recent call last):
  File "y.py", line 3, in g
ray.exceptions.RayTaskError(FileNotFoundError): ray::f()
"""


def test_the_cause_is_shown_and_not_its_consequence(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(LOG)
    assert last_error(tmp_path / "log").splitlines()[-1] == "FileNotFoundError: no such model"


def test_a_step_is_told_with_the_figures_that_there_are() -> None:
    data = {"critic/score/mean": 0.25, "num_turns/mean": 4.0, "timing_s/step": 1.0}
    assert train_line(StepMetrics(3, data)) == "  step    3  reward +0.25  turns 4.0  1.0 s"
    known = {**data, "retool/accuracy": 0.5, "retool/tool_call_rate": 1.0}
    assert "accuracy 0.50  tool rate 1.00" in train_line(StepMetrics(3, known))
