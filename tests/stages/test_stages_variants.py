"""Other shapes of the same pipeline: two FSDP ranks, a critic, a second start from a checkpoint."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from recipe.retool.tiny.files import TaskFiles, write_task

pytestmark = pytest.mark.slow
STEPS = ["trainer.total_training_steps=2", "trainer.save_freq=1"]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TaskFiles:
    files = TaskFiles(tmp_path_factory.mktemp("task"))
    write_task(files, seed=0, sft_rows=128, train=64, test=8)
    return files


def retool(*words: str) -> str:
    command = [sys.executable, "-m", "recipe.retool.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_two_ranks_train_and_their_shards_merge(task: TaskFiles, tmp_path: Path) -> None:
    words = ["device=cpu", "model=tiny", f"data.train_files={task.sft}", f"model.path={task.base}"]
    ranks = ["trainer.n_gpus_per_node=2", "data.micro_batch_size_per_gpu=16"]
    retool("sft", *words, *STEPS, *ranks, "--output", str(tmp_path / "sft"))
    retool("merge", str(tmp_path / "sft" / "checkpoints"))
    record = json.loads((tmp_path / "sft" / "hf" / "retool_merge.json").read_text())
    assert (record["step"], record["ranks"]) == (2, 2)
    assert record["logits_gap"] < 1e-3


@pytest.mark.parametrize("env", ["hermes", "retool"])
def test_ppo_with_a_critic_on_two_ranks_goes_on_from_its_checkpoint(
    env: str, task: TaskFiles, tmp_path: Path
) -> None:
    files = [f"data.train_files={task.train}", f"data.val_files={task.test}"]
    sizes = ["data.train_batch_size=4", "actor_rollout_ref.actor.ppo_mini_batch_size=4"]
    sizes += ["actor_rollout_ref.rollout.n=2", "trainer.test_freq=2", "trainer.n_gpus_per_node=2"]
    words = ["device=cpu", "model=tiny", "algorithm=ppo", f"env={env}", "retool.alarm.no_tool_steps=0"]
    words += [f"actor_rollout_ref.model.path={task.base}"]
    words += [*files, *sizes, *STEPS, "--output", str(tmp_path / "rl")]
    retool("rl", *words, "trainer.total_training_steps=1")
    retool("rl", *words)
    records = [json.loads(line) for line in (tmp_path / "rl" / "metrics.jsonl").read_text().splitlines()]
    trained = [record["step"] for record in records if "critic/vf_loss" in record["data"]]
    assert trained == [1, 2]
    assert (tmp_path / "rl" / "checkpoints" / "global_step_2" / "critic").is_dir()
