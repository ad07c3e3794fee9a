"""Reading data sets from disk or a hub, row by row, without ever holding a whole file."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recipe.retool.errors import DataError

Row = dict[str, Any]

SUFFIXES = (".parquet", ".jsonl", ".json")
_BATCH_ROWS = 131_072  # 75 MB of DAPO prompts
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True)
class SourceRow:
    """One row of an input.

    Attributes:
        index: Number of the row in the whole input, from 0.
        where: File and row (from 0) or line (from 1), for messages.
        data: Column name -> value.
    """

    index: int
    where: str
    data: Row


class RowReader:
    """Rows of a file, a folder or a hub data set, a batch at a time; iterate it once.

    Attributes:
        rows_read: Rows read so far, the merged ones included.
    """

    def __init__(self, location: str, columns: tuple[str, ...], merge: tuple[str, ...] = ()) -> None:
        """Prepare to read; nothing is opened yet.

        Args:
            location: Local path, or ``owner/name`` of a hub data set.
            columns: Top-level columns to read; all must be there.
            merge: Dotted paths into the columns, looking through lists of one element. Of the rows that
                agree in all of them only the first is yielded. The public DAPO file holds each row a
                hundred times, and Python never sees the other ninety-nine. Works on columnar inputs;
                JSON yields every row.
        """
        self.location = location
        self.columns = columns
        self.merge = merge
        self.rows_read = 0
        self._seen: set[tuple[Any, ...]] = set()

    def __iter__(self) -> Iterator[SourceRow]:
        """Yield the rows.

        Raises:
            DataError: Missing, empty, unreadable or malformed file; missing column; unreachable hub.
        """
        if is_hub_name(self.location):
            yield from self._columnar(self.location, _hub_batches(self.location, self.columns))
        else:
            for path in find_files(self.location):
                if path.suffix == ".parquet":
                    yield from self._columnar(str(path), _parquet_batches(path, self.columns))
                else:
                    yield from self._json(path)
        if self.rows_read == 0:
            raise DataError(f"{self.location}: holds no rows")

    def _columnar(self, name: str, batches: Iterable[pa.RecordBatch]) -> Iterator[SourceRow]:
        start = 0
        for batch in batches:
            wanted = self._unseen(batch)
            rows = batch if wanted is None else batch.take(pa.array(wanted))
            numbers = range(batch.num_rows) if wanted is None else wanted.tolist()
            before, self.rows_read = self.rows_read, self.rows_read + batch.num_rows
            for number, data in zip(numbers, rows.to_pylist(), strict=True):
                yield SourceRow(before + number, f"{name} row {start + number}", data)
            start += batch.num_rows

    def _json(self, path: Path) -> Iterator[SourceRow]:
        for where, data in _json_objects(path):
            if not isinstance(data, dict):
                raise DataError(f"{where}: expected an object with {', '.join(self.columns)}")
            _check_columns(where, self.columns, list(data))
            self.rows_read += 1
            yield SourceRow(self.rows_read - 1, where, data)

    def _unseen(self, batch: pa.RecordBatch) -> Any:
        """Positions of the first row of each new combination of values; None when rows cannot be merged."""
        leaves = [_leaf(batch, path) for path in self.merge]
        if not leaves or any(leaf is None for leaf in leaves):
            return None
        encoded = [leaf.dictionary_encode() for leaf in leaves if leaf is not None]
        codes = np.zeros(batch.num_rows, dtype=np.int64)
        for column in encoded:
            indices = pc.fill_null(column.indices, len(column.dictionary)).to_numpy(zero_copy_only=False)
            codes = codes * (len(column.dictionary) + 1) + indices
        first = np.sort(np.unique(codes, return_index=True)[1])
        values = [column.take(pa.array(first)).to_pylist() for column in encoded]
        fresh = [
            position for position, value in enumerate(zip(*values, strict=True)) if value not in self._seen
        ]
        self._seen.update(zip(*values, strict=True))
        return first[fresh]


def is_hub_name(location: str) -> bool:
    """True for ``owner/name`` when nothing of that name is on the disk."""
    path = Path(location).expanduser()
    return not path.exists() and path.suffix not in SUFFIXES and _HUB_NAME.fullmatch(location) is not None


def find_files(location: str) -> list[Path]:
    """Files behind a local path: the file itself, or all data files under a folder, sorted by path.

    Raises:
        DataError: Nothing is there, or the format is not one of `SUFFIXES`.
    """
    path = Path(location).expanduser()
    formats = ", ".join(SUFFIXES)
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and not p.name.startswith("."))
        files = [p for p in found if not p.name.endswith(".report.json")]  # ours, beside the data
        if not files:
            raise DataError(f"{path}: no {formats} file in this folder")
        return files
    if not path.exists():
        raise DataError(f"{path}: no such file or folder (a hub data set is written owner/name)")
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: unknown format '{path.suffix}', expected one of {formats}")
    return [path]


def require_text(value: Any, where: str, column: str) -> str:
    """``value`` if it is text that can be stored.

    Raises:
        DataError: It is not a string, or holds half of a surrogate pair.
    """
    if not isinstance(value, str):
        raise DataError(f"{where}: {column} must be text, found {type(value).__name__}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(f"{where}: {column} holds a lone surrogate at offset {error.start}") from error
    return value


def _leaf(batch: pa.RecordBatch, path: str) -> pa.Array | None:
    """The array at a dotted path with one value a row; None when the shape of the data is another."""
    column, *fields = path.split(".")
    array = batch.column(column)
    for name in fields:
        if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
            if not pc.all(pc.fill_null(pc.equal(pc.list_value_length(array), 1), False)).as_py():
                return None
            array = pc.list_flatten(array)
        if not pa.types.is_struct(array.type) or array.type.get_field_index(name) < 0:
            return None
        array = pc.struct_field(array, name)
    return None if pa.types.is_nested(array.type) else array


def _check_columns(where: str, wanted: tuple[str, ...], there: list[str]) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        raise DataError(f"{where}: no column {', '.join(missing)}; it has {', '.join(there) or 'none'}")


def _parquet_batches(path: Path, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(str(path), columns, file.schema_arrow.names)
            yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns))
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot be read as parquet ({str(error).splitlines()[0]})") from error


def _hub_batches(name: str, columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    dataset = _load_hub(name)
    _check_columns(name, columns, dataset.column_names)
    arrow = dataset.select_columns(list(columns)).with_format("arrow")
    for table in arrow.iter(batch_size=_BATCH_ROWS):
        yield from table.combine_chunks().to_batches()


def _load_hub(name: str) -> Any:
    try:
        from datasets import load_dataset
    except ImportError as error:
        raise DataError(f"{name}: hub names need 'pip install datasets', or pass --input PATH") from error
    try:
        splits = load_dataset(name)
    except Exception as error:  # datasets raises a dozen kinds: offline, unknown name, gated, broken cache
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(
            f"{name}: no such file or folder here, and the hub does not give it ({reason}); "
            "download it where there is a network and pass --input PATH"
        ) from error
    if "train" in splits:
        return splits["train"]
    if len(splits) == 1:
        return next(iter(splits.values()))
    raise DataError(f"{name}: has the splits {', '.join(splits)} and none is called train; pass --input PATH")


def _json_objects(path: Path) -> Iterator[tuple[str, Any]]:
    """Objects of a JSON array or of JSON lines, each with its place; told apart by the first character."""
    try:
        with path.open("rb") as file:
            is_array = file.read(256).removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"["
            file.seek(0)
            if is_array:
                rows = _parse(file.read(), str(path))
                yield from ((f"{path} row {number}", row) for number, row in enumerate(rows))
                return
            for number, line in enumerate(file, start=1):
                if line.strip():
                    where = f"{path} line {number}"
                    yield where, _parse(line, where)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _parse(text: bytes, where: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON or bad UTF-8
        raise DataError(f"{where}: not valid JSON ({error}); mend or remove it") from error
