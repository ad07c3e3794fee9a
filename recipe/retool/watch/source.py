"""What the files of a run tell while it runs; each is read on from where the last look ended."""

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipe.retool.records.folders import METRICS, SAMPLES, metrics_files
from recipe.retool.records.metrics_log import MetricsTail, attempt_number
from recipe.retool.watch.answers import Answered, AnswerReader
from recipe.retool.watch.config import Plan, read_plan
from recipe.retool.watch.pace import Pace
from recipe.retool.watch.words import last_lines

LOGS = ("engine.log", "merge.log", "vllm.log")
_LOG_LINES = 8


@dataclass(frozen=True)
class Look:
    """A run folder at one moment. Ages are in seconds, None without the file.

    Attributes:
        folder: The folder that is shown.
        metrics: By step; of steps that a resumed run repeats, the new ones alone.
        step: The step written last; None before the first.
        attempt: Number of the attempt that is written, 0 before the first.
        plan: What the config says about the length of the run.
        age: Of the last line of metrics (of answers, in an evaluation).
        log_name: The log that was written last; empty without one.
        log_age: Of that log.
        log: Its last lines.
        ended: The command that ran it has ended: ``metrics.jsonl``, its last act, is the newest file.
        bad: Lines that could not be read.
        pace: Seconds a step as seen since watching began; None before two looks saw different steps.
        answers: Of an evaluation that writes its answers one by one.
    """

    folder: Path
    metrics: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    step: int | None = None
    attempt: int = 0
    plan: Plan = field(default_factory=Plan)
    age: float | None = None
    log_name: str = ""
    log_age: float | None = None
    log: tuple[str, ...] = ()
    ended: bool = False
    bad: int = 0
    pace: float | None = None
    answers: Answered | None = None


class FolderReader:
    """Looks at one folder of ``retool sft``, ``rl`` or ``evaluate`` again and again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._begin()

    def _begin(self) -> None:
        self._tails: dict[Path, MetricsTail] = {}
        self._metrics: dict[int, dict[str, Any]] = {}
        self._step: int | None = None
        self._answers = AnswerReader(self.folder)
        self._plan, self._planned = Plan(), False
        self._pace = Pace()

    def look(self) -> Look:
        """Read what is new."""
        if self._answers.tail.begun_anew or any(tail.lines.begun_anew for tail in self._tails.values()):
            self._begin()  # the run was started afresh in the same folder
        files = metrics_files(self.folder)
        for path in files:
            if path not in self._tails:  # a new attempt may be meant to go further
                self._tails[path], self._planned = MetricsTail(path), False
            self._follow(self._tails[path])
        if self._step is not None:
            self._pace.see(self._step)
        if not self._planned:  # verl names the number of steps before the first one
            self._plan = read_plan(self.folder)
            self._planned = self._plan.complete or self._step is not None
        answers = self._answers.look()
        log = newest([self.folder / name for name in LOGS])
        written = newest([*files, self.folder / SAMPLES])
        return Look(
            folder=self.folder,
            metrics=self._metrics,
            step=self._step,
            attempt=attempt_number(files[-1]) if files and files[-1].name != METRICS else 0,
            plan=self._plan,
            age=age_of(written),
            log_name=log.name if log else "",
            log_age=age_of(log),
            log=tuple(last_lines(log, _LOG_LINES)) if log else (),
            ended=_ended(self.folder, files),
            bad=self._answers.tail.bad + sum(tail.lines.bad for tail in self._tails.values()),
            pace=self._pace.seconds,
            answers=answers,
        )

    def _follow(self, tail: MetricsTail) -> None:
        for record in tail.new():
            if self._step is not None and record.step < self._step:  # resumed from an older checkpoint
                # The step of the checkpoint itself is validated anew, and was trained by the former attempt.
                last = record.step - ("training/global_step" in record.data)
                self._metrics = {step: data for step, data in self._metrics.items() if step <= last}
            # One string a name, not one a line: a run has thousands of lines with the same names.
            data = {sys.intern(key): value for key, value in record.data.items()}
            self._metrics.setdefault(record.step, {}).update(data)
            self._step = record.step


def newest(paths: list[Path]) -> Path | None:
    """The file that was written last; None when none is there."""
    there = [(written, path) for path in paths if (written := _written(path)) is not None]
    return max(there)[1] if there else None


def age_of(path: Path | None) -> float | None:
    """Seconds since a file was written; never below 0, whatever two clocks say."""
    written = _written(path) if path else None
    return None if written is None else max(0.0, time.time() - written)


def _written(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _ended(folder: Path, files: list[Path]) -> bool:
    whole = _written(folder / METRICS)
    others = [*files, folder / "engine.log", folder / "command.sh"]  # a resumed run writes these first
    return whole is not None and all(whole >= (_written(path) or 0.0) for path in others)
