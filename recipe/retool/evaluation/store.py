"""The answers on disk: one line each, written once, kept through kills and restarts."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any

from recipe.retool.errors import StageError
from recipe.retool.records.folders import SAMPLES, read_lines

IDENTITY = "evaluation.json"
Key = tuple[str, int]  # doc_id and number of the sample


@dataclass(frozen=True)
class Store:
    """The folder of one evaluation.

    Attributes:
        folder: Holds ``samples.jsonl`` and ``evaluation.json``.
    """

    folder: Path

    @property
    def samples(self) -> Path:
        """One JSON object a line and answer."""
        return self.folder / SAMPLES

    def done(self) -> set[Key]:
        """Which answers are there."""
        return {(row["doc_id"], row["sample"]) for row in self.rows()}

    def rows(self) -> list[dict[str, Any]]:
        """All answers, in the order in which they came.

        Raises:
            StageError: A line is no answer: something else wrote there, or the disk failed.
        """
        rows, bad = read_lines(self.samples) if self.samples.is_file() else ([], 0)
        if bad:
            raise StageError(
                f"{self.samples}: {bad} lines are damaged; remove them, and they are asked again"
            )
        return rows

    def append(self, row: Mapping[str, Any]) -> None:
        """Write one answer; it is in the file when this returns.

        Raises:
            StageError: It cannot be written (a full disk, say); nothing of it is left.
        """
        line = json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n"
        try:
            with self.samples.open("ab", buffering=0) as stream:
                end = stream.seek(0, os.SEEK_END)
                try:
                    _write_all(stream, line.encode("utf-8", errors="replace"))
                except OSError:
                    stream.truncate(end)  # a line after a half one would make both unreadable
                    raise
        except OSError as error:
            raise StageError(f"{self.samples} cannot be written: {error.strerror or error}") from error

    def note(self, **facts: Any) -> None:
        """Add facts, such as the number of answers, to ``evaluation.json``."""
        record = {**self.facts(), **facts}
        part = self.folder / f"{IDENTITY}.part"
        part.write_text(json.dumps(record, indent=2))
        os.replace(part, self.folder / IDENTITY)

    def facts(self) -> dict[str, Any]:
        """What ``evaluation.json`` holds; empty when there is none.

        Raises:
            StageError: It is damaged.
        """
        path = self.folder / IDENTITY
        if not path.is_file():
            return {}
        try:
            return dict(json.loads(path.read_text()))
        except ValueError as error:
            raise StageError(f"{path} is damaged ({error}): remove {self.folder} to start afresh") from error


@contextmanager
def open_store(folder: Path, identity: Mapping[str, Any]) -> Iterator[Store]:
    """Open an evaluation for this process alone, and mend what a kill left half-written.

    Args:
        folder: Made when it is not there.
        identity: What all answers of one evaluation share (model, data, sampling ...).

    Raises:
        StageError: The folder is in use, or holds answers of another evaluation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(f"{folder} is in use by another evaluation: choose another --output") from None
        _check(store, json.loads(json.dumps(identity)))
        _mend(store.samples)
        store.note(identity=identity)
        yield store


def _write_all(stream: RawIOBase, data: bytes) -> None:
    """Also when a disk that is nearly full takes a part first."""
    written = 0
    while written < len(data):
        written += stream.write(data[written:]) or 0


def _check(store: Store, identity: Mapping[str, Any]) -> None:
    there = store.facts().get("identity", {})
    if not store.samples.is_file() or store.samples.stat().st_size == 0:
        return
    for key in sorted(set(there) | set(identity)):
        if there.get(key) != identity.get(key):
            raise StageError(
                f"{store.folder} holds answers with {key}={there.get(key)!r}, not {identity.get(key)!r}: "
                "choose another --output, or remove it"
            )


def _mend(samples: Path) -> None:
    """Cut off a last line that a kill left without its end: that answer is asked for again."""
    if not samples.is_file():
        return
    with samples.open("r+b") as stream:
        data = stream.read()
        whole = data.rfind(b"\n") + 1
        stream.truncate(whole)
