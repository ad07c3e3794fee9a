"""``retool evaluate`` with real engines: the number of a validation, and what a kill leaves."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from recipe.retool.stages.eval_job import Evaluation
from recipe.retool.stages.evaluate import run_evaluation
from recipe.retool.stages.rl import run_rl
from recipe.retool.tiny.files import TaskFiles, write_task

pytestmark = pytest.mark.slow
GROUPS = ("device=cpu", "model=tiny", "env=hermes")
GREEDY = (*GROUPS, "sampling=greedy")


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TaskFiles:
    files = TaskFiles(tmp_path_factory.mktemp("task"))
    write_task(files, seed=0, sft_rows=8, train=8, test=64)
    return files


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().split("\n") if line]


def test_a_validation_and_an_evaluation_give_the_same_answers(task: TaskFiles, tmp_path: Path) -> None:
    model, data = str(task.base), str(task.test)
    words = [*GREEDY, f"data.train_files={data}", f"data.val_files={data}", "trainer.val_only=True"]
    run_rl([*words, f"actor_rollout_ref.model.path={model}"], tmp_path / "rl")
    run_evaluation(Evaluation(model, (data,), tmp_path / "evaluate", GREEDY))
    keys = ("input", "output", "gts", "score", "acc", "response_tokens", "tool_calls", "num_turns")
    both = (tmp_path / "rl" / "validation" / "0.jsonl", tmp_path / "evaluate" / "samples.jsonl")
    trained, alone = (sorted(repr([row[key] for key in keys]) for row in lines(path)) for path in both)
    assert len(alone) == 64
    assert trained == alone


def test_a_killed_evaluation_goes_on_without_loss_or_repetition(task: TaskFiles, tmp_path: Path) -> None:
    words = ["evaluate", "--model", str(task.base), "--data", str(task.test), "--output", str(tmp_path)]
    words += ["--concurrency", "2", *GROUPS, "actor_rollout_ref.rollout.val_kwargs.n=4"]
    command = [sys.executable, "-m", "recipe.retool.cli", *words]
    samples = tmp_path / "samples.jsonl"
    first = subprocess.Popen(command, start_new_session=True)
    while not (samples.is_file() and samples.read_bytes().count(b"\n") >= 20):
        assert first.poll() is None
        time.sleep(0.2)
    started = psutil.Process(first.pid).children(recursive=True)
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert psutil.wait_procs(started, timeout=60)[1] == []  # nothing is left running
    kept = samples.read_bytes()
    assert subprocess.run(command, timeout=900).returncode == 0
    found = samples.read_bytes()
    assert found.startswith(kept[: kept.rfind(b"\n") + 1])
    names = [(row["doc_id"], row["sample"]) for row in lines(samples)]
    assert len(names) == len(set(names)) == 64 * 4
