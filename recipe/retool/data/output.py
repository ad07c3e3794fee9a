"""Writing data sets so that nobody ever sees half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recipe.retool.errors import DataError

_GROUP_ROWS = 1_024  # rows held in memory and written as one row group


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """A temporary path beside ``target``: it replaces it when the block ends well, and goes when not.

    Raises:
        DataError: The folder or the file cannot be written (permissions, full disk, a folder in the way).
    """
    target = target.expanduser().resolve()  # through a symbolic link, so that the link stays
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if target.is_dir():
            raise DataError(f"{target}: is a folder; name a file")
        target.parent.mkdir(parents=True, exist_ok=True)
        yield part
        _flush_to_disk(part)
        os.replace(part, target)
    except OSError as error:
        raise DataError(f"{target}: cannot be written ({error.strerror or error})") from error
    finally:
        with suppress(OSError):
            part.unlink()


class ParquetSink:
    """Collects rows and writes them group by group; made by `parquet_sink`.

    Attributes:
        rows: Rows added so far.
    """

    def __init__(self, writer: pq.ParquetWriter, schema: pa.Schema) -> None:
        self._writer = writer
        self._schema = schema
        self._waiting: list[dict[str, Any]] = []
        self.rows = 0

    def add(self, row: dict[str, Any]) -> None:
        """Add one row with the columns of the schema."""
        self._waiting.append(row)
        self.rows += 1
        if len(self._waiting) >= _GROUP_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        if self._waiting:
            self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
            self._waiting = []


@contextmanager
def parquet_sink(target: Path, schema: pa.Schema) -> Iterator[ParquetSink]:
    """A sink whose rows become the file ``target`` when the block ends well; otherwise nothing changes.

    Raises:
        DataError: See `atomic_path`.
    """
    with atomic_path(target) as part, pq.ParquetWriter(part, schema) as writer:
        sink = ParquetSink(writer, schema)
        yield sink
        sink.flush()


def write_text(target: Path, text: str) -> None:
    """Write a small text file in one piece.

    Raises:
        DataError: See `atomic_path`.
    """
    with atomic_path(target) as part:
        part.write_text(text, encoding="utf-8")


def _flush_to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
