"""The gold answer of every row of every data set earns full marks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recipe.retool.data.answers import canonical_answer
from recipe.retool.data.io import RowReader
from recipe.retool.data.sources import SOURCES, find_source
from recipe.retool.reward.score import compute_score
from recipe.retool.tiny.arithmetic import distinct_problems, rl_row

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"
FULL_MARKS = 1.0  # of the default mix
FILES = {
    "dapo-math-17k": "dapo_math_17k_first300.parquet",
    "dapo-math-17k-zhuzilin": "zhuzilin_dapo_math_17k_first300.jsonl",
    "aime-2024-dapo": "BytedTsinghua-SIA_aime-2024_30x32.parquet",
    "aime-2024": "Maxwell-Jia_AIME_2024.parquet",
    "aime-2024-retool": "retool_eval_AIME24.jsonl",
    "aime-2025-retool": "retool_eval_AIME25.jsonl",
}


def marks(gold: str, said: str) -> tuple[object, object]:
    text = f"Then the answer is \\boxed{{{said}}}."
    result = compute_score("test", text, gold, {"model_text": text, "num_turns": 4})
    return result["acc"], result["score"]


def answers(source: str, file: Path) -> Iterator[str]:
    known = find_source(source)
    for row in RowReader(str(file), known.columns, known.merge):
        yield known.convert(row).answer


@pytest.mark.parametrize("source", [source.name for source in SOURCES])
def test_gold_answers_of_real_rows_earn_full_marks(source: str) -> None:
    file = REAL / FILES.get(source, "no rows of this source")
    if not file.is_file():
        pytest.skip(f"no real rows of {source} in {REAL}")
    golds = list(answers(source, file))
    assert golds
    less = [gold for gold in golds if marks(canonical_answer(gold), gold) != (1.0, FULL_MARKS)]
    assert less == []


@pytest.mark.parametrize("split", ["train", "test"])
def test_gold_answers_of_the_arithmetic_task_earn_full_marks(split: str) -> None:
    rows = [rl_row(p, split, i) for i, p in enumerate(distinct_problems(split, 0, 300, 0.5))]
    golds = [row["reward_model"]["ground_truth"] for row in rows]
    assert [gold for gold in golds if marks(gold, gold) != (1.0, FULL_MARKS)] == []
