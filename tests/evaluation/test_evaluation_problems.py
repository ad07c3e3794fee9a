"""Problems of parquet files, for servers whose tokenizer is not known."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipe.retool.errors import DataError
from recipe.retool.evaluation.problems import read_problems

ROW: dict[str, Any] = {
    "prompt": [{"role": "user", "content": "What is 1+1?"}],
    "data_source": "sums",
    "reward_model": {"ground_truth": "2"},
}


def written(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(list(rows), schema=None if rows else pa.schema([])), path)
    return path


def test_a_row_is_a_problem(tmp_path: Path) -> None:
    (problem,) = read_problems([written(tmp_path, ROW)])
    assert (problem.gold, problem.data_source, problem.row["tools_kwargs"]) == ("2", "sums", {})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "holds no row"),
        ([{"prompt": ROW["prompt"], "data_source": "sums"}], "no column 'reward_model'"),
        ([{**ROW, "prompt": "What is 1+1?"}], "row 0: prompt must be a list"),
        ([{**ROW, "prompt": []}], "row 0: prompt must be a list"),
        ([{**ROW, "prompt": [{"text": "What is 1+1?"}]}], "row 0: prompt must be a list"),
        ([ROW, {**ROW, "reward_model": {"ground_truth": None}}], "row 1: no reward_model.ground_truth"),
        ([{**ROW, "reward_model": "2"}], "row 0: no reward_model.ground_truth"),
    ],
)
def test_rows_that_are_no_problems_are_named(
    rows: list[dict[str, Any]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        read_problems([written(tmp_path, *rows)])


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_text("rows")
    with pytest.raises(DataError, match=r"rows\.parquet cannot be read as parquet"):
        read_problems([tmp_path / "rows.parquet"])
