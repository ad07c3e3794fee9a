"""The folders that runs leave behind, and what is read from them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipe.retool.errors import DataError
from recipe.retool.records.metrics_log import attempts, json_object

METRICS = "metrics.jsonl"  # of a finished run; metrics/attempt_N.jsonl of one that is under way
SAMPLES = "samples.jsonl"  # of an evaluation
SUMMARY = "summary.json"
_INSIDE = "rl"  # the RL run of a quickstart


@dataclass(frozen=True)
class RunFolder:
    """One run.

    Attributes:
        name: What to call it: the folder as the user gave it.
        folder: The folder that holds metrics and trajectories.
        metrics: Files of verl's logger, in the order of the attempts; empty for an evaluation.
        rollouts: Trajectories of training by step.
        validation: Trajectories of validation by step.
        samples: Answers of an evaluation, when it is one.
    """

    name: str
    folder: Path
    metrics: tuple[Path, ...] = ()
    rollouts: dict[int, Path] = field(default_factory=dict)
    validation: dict[int, Path] = field(default_factory=dict)
    samples: Path | None = None

    def counters(self, step: int) -> Path:
        """The counters of the training trajectories of a step; the file may be absent."""
        return self.folder / "rollouts" / "counters" / f"{step}.jsonl"


def find_run(path: Path) -> RunFolder:
    """The run in a folder: of ``retool rl``, of a quickstart (its RL run), or of ``retool evaluate``.

    Raises:
        DataError: There is no such folder, or no run in it.
    """
    if not path.is_dir():
        raise DataError(f"{path}: no such folder; name the run folder (--output of `retool rl`)")
    for folder in (path, path / _INSIDE):
        found = _run_in(folder, str(path))
        if found.metrics or found.rollouts or found.validation or found.samples:
            return found
    raise DataError(
        f"{path}: neither a run of `retool rl` (metrics/, rollouts/, validation/) nor of `retool evaluate` "
        f"({SAMPLES})"
    )


class LineReader:
    """The JSON objects of a JSONL file, one at a time: a file of any size takes the memory of one line.

    Attributes:
        bad: Lines so far that are none (half-written ones, say).
        bytes_read: Bytes so far.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.bad = 0
        self.bytes_read = 0

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the objects in order.

        Raises:
            DataError: The file cannot be read.
        """
        try:
            # In bytes, which are cut at \n alone: verl writes U+2028 and the like inside strings.
            with self._path.open("rb") as stream:
                for line in stream:
                    self.bytes_read += len(line)
                    value = json_object(line.decode("utf-8", errors="replace"))
                    if value is not None:
                        yield value
                    elif line.strip():
                        self.bad += 1
        except OSError as error:
            raise DataError(f"{self._path} cannot be read: {error.strerror or error}") from error


def read_lines(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The JSON objects of a JSONL file, and how many lines are none.

    Raises:
        DataError: The file cannot be read.
    """
    reader = LineReader(path)
    return list(reader), reader.bad


def read_metrics(paths: Sequence[Path]) -> tuple[dict[int, dict[str, Any]], int]:
    """Metrics by step, of all attempts: a repeated step keeps the last; and the number of bad lines."""
    by_step: dict[int, dict[str, Any]] = {}
    bad = 0
    for path in paths:
        records, broken = read_lines(path)
        bad += broken
        for record in records:
            if isinstance(record.get("data"), dict) and isinstance(record.get("step"), int):
                by_step.setdefault(record["step"], {}).update(record["data"])
            else:
                bad += 1
    return dict(sorted(by_step.items())), bad


def metrics_files(folder: Path) -> list[Path]:
    """Files of verl's logger in a run folder: those of the attempts, or what was merged of them."""
    whole = folder / METRICS
    return attempts(folder / "metrics") or ([whole] if whole.is_file() else [])


def _run_in(folder: Path, name: str) -> RunFolder:
    samples = folder / SAMPLES
    return RunFolder(
        name=name,
        folder=folder,
        metrics=tuple(metrics_files(folder)),
        rollouts=_by_step(folder / "rollouts"),
        validation=_by_step(folder / "validation"),
        samples=samples if samples.is_file() else None,
    )


def _by_step(folder: Path) -> dict[int, Path]:
    found = {int(path.stem): path for path in folder.glob("*.jsonl") if path.stem.isdecimal()}
    return dict(sorted(found.items()))
