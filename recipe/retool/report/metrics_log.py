"""Reading what verl's "file" logger writes, while it is being written."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ATTEMPTS = "attempt_*.jsonl"


@dataclass(frozen=True)
class StepMetrics:
    """One line of verl's file logger: the step and its metrics by name."""

    step: int
    data: dict[str, Any]


class MetricsTail:
    """Yields each whole line of a growing JSONL file once; a half-written last line waits."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def new(self) -> Iterator[StepMetrics]:
        """The lines that were finished since the last call."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                record = json.loads(line)
                yield StepMetrics(int(record["step"]), record["data"])


def attempt_file(folder: Path) -> Path:
    """A new file for one attempt: verl's logger truncates its file, and a resumed run must not lose any."""
    folder.mkdir(parents=True, exist_ok=True)
    last = max(map(attempt_number, folder.glob(ATTEMPTS)), default=0)
    return folder / f"attempt_{last + 1}.jsonl"


def attempt_number(path: Path) -> int:
    """The number in the name of an attempt's file."""
    return int(path.stem.split("_")[1])


def merge_attempts(folder: Path, target: Path) -> list[StepMetrics]:
    """Write the metrics of all attempts to ``target``, one line a step; a repeated step keeps the last."""
    by_step: dict[int, dict[str, Any]] = {}
    for path in sorted(folder.glob(ATTEMPTS), key=attempt_number):
        for record in MetricsTail(path).new():
            by_step.setdefault(record.step, {}).update(record.data)
    records = [StepMetrics(step, by_step[step]) for step in sorted(by_step)]
    lines = [json.dumps({"step": record.step, "data": record.data}) for record in records]
    target.write_text("".join(line + "\n" for line in lines))
    return records
