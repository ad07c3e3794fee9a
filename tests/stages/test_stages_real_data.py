"""The same stages on rows of the real data sets: rewards are 0 for a tiny model, the plumbing must hold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not SHARED.is_dir(), reason="no ../shared/data: the real rows are not in this checkout"
    ),
]


def retool(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "recipe.retool.cli", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr


def test_sft_merge_and_two_grpo_steps_on_real_rows(tmp_path: Path) -> None:
    from recipe.retool.tiny.model import save_tiny_model

    save_tiny_model(tmp_path / "base", seed=0)
    raw, dapo, aime = (
        "retool_sft_raw_4rows.jsonl",
        "dapo_math_17k_first300.parquet",
        "Maxwell-Jia_AIME_2024.parquet",
    )
    retool(tmp_path, "data", "sft", "--input", str(SHARED / raw), "--output", "sft.parquet")
    words = ["--source", "BytedTsinghua-SIA/DAPO-Math-17k", "--limit", "64", "--output", "train.parquet"]
    retool(tmp_path, "data", "rl", "--input", str(SHARED / dapo), *words)
    words = ["--source", "Maxwell-Jia/AIME_2024", "--limit", "4", "--output", "aime.parquet"]
    retool(tmp_path, "data", "eval", "--input", str(SHARED / aime), *words)

    sizes = ["data.train_batch_size=2", "data.micro_batch_size_per_gpu=1", "data.max_length=16384"]
    steps = ["trainer.total_training_steps=2", "trainer.save_freq=2"]
    files = ["data.train_files=sft.parquet", "model.path=base"]
    retool(tmp_path, "sft", "device=cpu", "model=tiny", *files, *sizes, *steps, "--output", "sft")
    retool(tmp_path, "merge", "sft/checkpoints", "--output", "sft/hf")

    files = [
        "data.train_files=train.parquet",
        "data.val_files=aime.parquet",
        "actor_rollout_ref.model.path=sft/hf",
    ]
    sizes = ["data.train_batch_size=4", "actor_rollout_ref.actor.ppo_mini_batch_size=4"]
    sizes += ["actor_rollout_ref.rollout.n=2", "data.max_prompt_length=896", "data.max_response_length=64"]
    sizes += ["actor_rollout_ref.rollout.val_kwargs.n=1", "trainer.test_freq=2"]
    retool(tmp_path, "rl", "device=cpu", "model=tiny", *files, *sizes, *steps, "--output", "rl")

    metrics = [
        json.loads(line)["data"] for line in (tmp_path / "rl" / "metrics.jsonl").read_text().splitlines()
    ]
    assert len(metrics) == 3
    assert metrics[0]["val-core/aime_2024/acc/mean@1"] == 0.0
    assert {"actor/grad_norm", "critic/score/mean", "num_turns/mean", "timing_s/step"} <= set(metrics[1])
