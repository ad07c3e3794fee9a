"""Agreement with graded answers; the files are not part of the repository."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="graded answers not here")


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "reward_agreement", ROOT / "benchmarks" / "reward_agreement.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "rows", "allowed"),  # the allowed ones are explained in docs/reward.rst
    [("math_verify_pairs_half.jsonl", 127, 12), ("qwen25math_pred_gt_correct_distinct.jsonl", 110, 1),
     ("answer_edge_cases.json", 30, 0)],
)  # fmt: skip
def test_agreement_does_not_fall(benchmark: ModuleType, name: str, rows: int, allowed: int) -> None:
    count, different = benchmark.disagreements(DATA / name)
    assert count == rows
    assert len(different) <= allowed, different


def test_every_gold_answer_earns(benchmark: ModuleType) -> None:
    golds = {row.gold for row in benchmark.qwen(DATA / "qwen25math_pred_gt_correct_distinct.jsonl")}
    golds |= {row.gold for row in benchmark.edge_cases(DATA / "answer_edge_cases.json")}
    for name in ("retool_eval_AIME24.jsonl", "retool_eval_AIME25.jsonl"):
        golds |= {
            json.loads(line)["output"] for line in (DATA / name).read_text(encoding="utf-8").splitlines()
        }
    failed = {g for g in golds if not benchmark.reward_accepts(benchmark.Row(g, benchmark.in_box(g), True))}
    assert not failed


def test_every_dapo_gold_earns(benchmark: ModuleType) -> None:
    lines = (DATA / "zhuzilin_dapo_math_17k_first300.jsonl").read_text(encoding="utf-8").splitlines()
    golds = [json.loads(line)["label"] for line in lines]
    assert all(benchmark.reward_accepts(benchmark.Row(g, benchmark.in_box(f"'{g}'"), True)) for g in golds)
