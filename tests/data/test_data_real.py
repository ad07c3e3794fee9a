"""Real rows of the public sets; skipped where they are not."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from recipe.retool.data.rl import write_problems
from recipe.retool.data.sft import SftFormat, write_sft
from recipe.retool.data.sources import find_source


@pytest.mark.parametrize(
    ("source", "name", "read", "written"),
    [
        ("dapo-math-17k", "dapo_math_17k_first300.parquet", 300, 294),
        ("dapo-math-17k-zhuzilin", "zhuzilin_dapo_math_17k_first300.jsonl", 300, 294),
        ("aime-2024-dapo", "BytedTsinghua-SIA_aime-2024_30x32.parquet", 960, 30),
        ("aime-2024", "Maxwell-Jia_AIME_2024.parquet", 30, 30),
        ("aime-2024-retool", "retool_eval_AIME24.jsonl", 30, 30),
        ("aime-2025-retool", "retool_eval_AIME25.jsonl", 30, 30),
    ],
)
def test_real_problem_sets(
    real: Path, tmp_path: Path, source: str, name: str, read: int, written: int
) -> None:
    known = find_source(source)
    report = write_problems([(str(real / name), known)], tmp_path / "out.parquet", known.kind)
    assert (report.rows_read, report.rows_written) == (read, written)
    assert report.noted == {}
    for row in pq.read_table(tmp_path / "out.parquet").to_pylist():
        (message,) = row["prompt"]
        assert "Answer:" not in message["content"]
        assert message["content"].count("\\boxed") == 1
        assert row["reward_model"]["ground_truth"].lstrip("-").isdigit()


def test_the_copies_of_one_set_agree(real: Path, tmp_path: Path) -> None:
    questions = []
    for source, name in [
        ("dapo-math-17k", "dapo_math_17k_first300.parquet"),
        ("dapo-math-17k-zhuzilin", "zhuzilin_dapo_math_17k_first300.jsonl"),
    ]:
        write_problems([(str(real / name), find_source(source))], tmp_path / "out.parquet", "rl")
        rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
        questions.append(
            [(row["extra_info"]["question"], row["reward_model"]["ground_truth"]) for row in rows]
        )
    assert questions[0] == questions[1]


@pytest.mark.parametrize("form", list(SftFormat))
def test_real_traces(real: Path, tmp_path: Path, form: SftFormat) -> None:
    report = write_sft(str(real / "retool_sft_raw_4rows.jsonl"), tmp_path / "out.parquet", form)
    assert (report.rows_read, report.rows_written) == (4, 4)
    for row in pq.read_table(tmp_path / "out.parquet").to_pylist():
        assert "user question" not in row["messages"][0]["content"]
        assert "{{" not in row["messages"][0]["content"]
        assert "\\boxed{" in row["messages"][-1]["content"]
