import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipe.retool.data import io
from recipe.retool.data.io import RowReader, find_files, is_hub_name, require_text
from recipe.retool.errors import DataError


def read(location: str | Path, *columns: str, merge: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    return [row.data for row in RowReader(str(location), columns, merge)]


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_parquet_and_json_give_the_same_rows(jsonl: Callable[..., str], tmp_path: Path) -> None:
    rows = [{"q": "a", "n": 1}, {"q": "b", "n": 2}]
    array = tmp_path / "array.json"
    array.write_text(json.dumps(rows, indent=1))
    for path in (parquet(tmp_path / "x.parquet", rows), array, jsonl(*rows), jsonl(*rows, name="lines.json")):
        assert read(path, "q", "n") == rows


def test_a_folder_is_read_in_the_order_of_its_paths(jsonl: Callable[..., str], tmp_path: Path) -> None:
    jsonl({"q": "second"}, name="b.jsonl")
    parquet(tmp_path / "a.parquet", [{"q": "first"}])
    jsonl({"q": "no"}, name="a.parquet.report.json")
    jsonl({"q": "no"}, name=".hidden.jsonl")
    assert read(tmp_path, "q") == [{"q": "first"}, {"q": "second"}]


def test_rows_are_numbered_across_files_and_placed_within_theirs(tmp_path: Path) -> None:
    for name in "ab":
        parquet(tmp_path / f"{name}.parquet", [{"q": f"{name}{i}"} for i in range(2)])
    rows = list(RowReader(str(tmp_path), ("q",)))
    assert [row.index for row in rows] == [0, 1, 2, 3]
    assert [row.where.split("/")[-1] for row in rows] == [
        f"{name}.parquet row {i}" for name in "ab" for i in (0, 1)
    ]


def test_bom_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"q": "a"}\r\n\r\n  \n{"q": "b"}')
    assert [row.where.split()[-1] for row in RowReader(str(path), ("q",))] == ["1", "4"]


def test_equal_rows_are_merged_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(io, "_BATCH_ROWS", 3)
    rows = [
        {"p": [{"content": c}], "r": {"a": a}, "i": i}
        for i, (c, a) in enumerate(zip("xyxyzxx", "1111112", strict=True))
    ]
    reader = RowReader(str(parquet(tmp_path / "x.parquet", rows)), ("p", "r", "i"), ("p.content", "r.a"))
    assert [(row.index, row.data["i"]) for row in reader] == [(0, 0), (1, 1), (4, 4), (6, 6)]
    assert reader.rows_read == 7


def test_values_do_not_run_into_each_other_when_merged(tmp_path: Path) -> None:
    rows = [{"a": "x", "b": "yz"}, {"a": "xy", "b": "z"}, {"a": None, "b": "z"}, {"a": "None", "b": "z"}]
    assert read(parquet(tmp_path / "x.parquet", rows), "a", "b", merge=("a", "b")) == rows


@pytest.mark.parametrize("merge", [("p.content",), ("p",), ("p.other",), ("n.content",)])
def test_rows_of_another_shape_are_all_yielded(tmp_path: Path, merge: tuple[str, ...]) -> None:
    rows = [{"p": [{"content": "x"}, {"content": "y"}], "n": 1}] * 2
    assert len(read(parquet(tmp_path / "x.parquet", rows), "p", "n", merge=merge)) == 2


def test_empty_files_are_errors(tmp_path: Path) -> None:
    for name in ("x.jsonl", "x.json", "x.parquet"):
        (tmp_path / name).touch()
        with pytest.raises(DataError, match=name):
            read(tmp_path / name, "q")


def test_a_parquet_file_without_rows_is_an_error(tmp_path: Path) -> None:
    pq.write_table(pa.table({"q": pa.array([], pa.string())}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="holds no rows"):
        read(tmp_path / "x.parquet", "q")


@pytest.mark.parametrize("bad", [b"{", b"\xff\xfe{", b"[" * 100_000, b"[1, 2", b"nonsense"])
def test_malformed_json_names_its_place(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"q": 1}\n' + bad)
    with pytest.raises(DataError, match=r"x\.jsonl line 2: not valid JSON"):
        read(path, "q")


def test_a_json_row_that_is_no_object_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('[{"q": 1}, 2]')
    with pytest.raises(DataError, match=r"x\.json row 1: expected an object with q"):
        read(tmp_path / "x.json", "q")


def test_a_missing_column_names_what_is_there(jsonl: Callable[..., str], tmp_path: Path) -> None:
    for path in (jsonl({"a": 1, "b": 2}), parquet(tmp_path / "x.parquet", [{"a": 1, "b": 2}])):
        with pytest.raises(DataError, match="no column q, r; it has a, b"):
            read(path, "q", "a", "r")


def test_a_file_that_is_not_parquet_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("<html>404</html>")
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read(tmp_path / "x.parquet", "q")


def test_a_parquet_file_cut_short_is_an_error(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", [{"q": "a" * 100}] * 50)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="cannot be read as parquet"):
        read(path, "q")


@pytest.mark.parametrize(
    "name", ["no/such/file.parquet", "train.parquet", "data/train.jsonl", "nothing", "./a/b"]
)
def test_a_wrong_path_is_an_error(name: str) -> None:
    assert not is_hub_name(name)
    with pytest.raises(DataError, match="no such file or folder"):
        find_files(name)


def test_an_unknown_format_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("q\na")
    with pytest.raises(DataError, match=r"unknown format '\.csv'"):
        find_files(str(tmp_path / "x.csv"))


def test_a_folder_without_data_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no \.parquet, \.jsonl, \.json file"):
        find_files(str(tmp_path))


def test_a_hub_name_gives_way_to_a_folder_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_name("owner/name")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert not is_hub_name("owner/name")


def test_an_unreachable_hub_names_the_set_and_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")

    def offline(name: str) -> None:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(
        DataError, match=r"owner/name: .* the hub does not give it .*\(no route\).*--input PATH"
    ):
        read("owner/name", "q")


def test_a_hub_data_set_is_read_in_arrow(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    train = datasets.Dataset.from_list([{"q": "a", "x": 0}, {"q": "b", "x": 1}, {"q": "a", "x": 2}])
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict(train=train))
    assert read("owner/name", "q", merge=("q",)) == [{"q": "a"}, {"q": "b"}]


@pytest.mark.parametrize(
    ("value", "found"), [(3, "found int"), (None, "found NoneType"), ("\ud800", "lone surrogate")]
)
def test_text_that_cannot_be_stored_is_an_error(value: object, found: str) -> None:
    with pytest.raises(DataError, match=rf"x row 3: q .*{found}"):
        require_text(value, "x row 3", "q")
