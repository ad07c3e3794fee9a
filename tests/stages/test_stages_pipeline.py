"""The real pipeline on the tiny model: verl, Ray, FSDP2, vLLM, HTTP sandbox."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def retool(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "recipe.retool.cli", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=1500)


@pytest.mark.parametrize("env", ["hermes", "retool"])
def test_quickstart_end_to_end_and_again(env: str, tmp_path: Path) -> None:
    words = ["quickstart", f"env={env}", "--out", str(tmp_path / "run")]
    words += ["--sft-steps", "20", "--rl-steps", "2"]
    first = retool(*words)
    assert first.returncode == 0, first.stdout + first.stderr
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert set(summary["accuracy"]) == {"base", "sft", "rl"}
    assert set(summary["minutes"]) == {"sft", "merge", "rl", "evaluate", "total"}
    metrics = [
        json.loads(line) for line in (tmp_path / "run" / "rl" / "metrics.jsonl").read_text().splitlines()
    ]
    assert [record["step"] for record in metrics] == [0, 1, 2]
    again = retool(*words)
    assert again.stdout.count("skipped") == 6
