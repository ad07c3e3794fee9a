"""Reading what verl's "file" logger writes, while it is being written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ATTEMPTS = "attempt_*.jsonl"


@dataclass(frozen=True)
class StepMetrics:
    """One line of verl's file logger: the step and its metrics by name."""

    step: int
    data: dict[str, Any]


class LineTail:
    """Yields each whole line of a growing JSONL file once; a half-written last line waits.

    Attributes:
        bad: Whole lines so far that are no JSON object, which a killed writer or a full disk leaves; skipped.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.bad = 0

    def new(self) -> Iterator[dict[str, Any]]:
        """The objects of the lines that were finished since the last call."""
        try:
            stream = self._path.open("rb")
        except FileNotFoundError:
            return
        with stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                record = json_object(line)
                if record is not None:
                    yield record
                elif line.strip():
                    self.bad += 1

    @property
    def begun_anew(self) -> bool:
        """Whether the file is gone, or shorter than what was read of it: another writer has taken it over."""
        return self._offset > 0 and (not self._path.is_file() or self._path.stat().st_size < self._offset)


class MetricsTail:
    """Yields the metrics of each finished line of verl's file logger once."""

    def __init__(self, path: Path) -> None:
        self.lines = LineTail(path)

    def new(self) -> Iterator[StepMetrics]:
        """The steps that were written since the last call; lines without step and data are skipped."""
        for record in self.lines.new():
            step, data = record.get("step"), record.get("data")
            if isinstance(step, int) and isinstance(data, dict):
                yield StepMetrics(step, data)
            else:
                self.lines.bad += 1


def json_object(line: bytes | str) -> dict[str, Any] | None:
    """The JSON object of a line; None when it is none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def attempt_file(folder: Path) -> Path:
    """A new file for one attempt: verl's logger truncates its file, and a resumed run must not lose any."""
    folder.mkdir(parents=True, exist_ok=True)
    last = max(map(attempt_number, folder.glob(_ATTEMPTS)), default=0)
    return folder / f"attempt_{last + 1}.jsonl"


def attempt_number(path: Path) -> int:
    """The number in the name of an attempt's file; 0 for somebody's copy with another name."""
    number = path.stem.partition("_")[2]
    return int(number) if number.isdecimal() else 0


def attempts(folder: Path) -> list[Path]:
    """The files of all attempts in a ``metrics/`` folder, in their order."""
    return sorted(folder.glob(_ATTEMPTS), key=attempt_number)


def merge_attempts(folder: Path, target: Path) -> list[StepMetrics]:
    """Write the metrics of all attempts to ``target``, one line a step; a repeated step keeps the last."""
    by_step: dict[int, dict[str, Any]] = {}
    for path in attempts(folder):
        for record in MetricsTail(path).new():
            by_step.setdefault(record.step, {}).update(record.data)
    records = [StepMetrics(step, by_step[step]) for step in sorted(by_step)]
    lines = [json.dumps({"step": record.step, "data": record.data}) for record in records]
    target.write_text("".join(line + "\n" for line in lines))
    return records
