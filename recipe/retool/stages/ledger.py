"""What a run folder remembers: which stages are done, with which settings, and how long they took."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recipe.retool.errors import StageError
from recipe.retool.stages.progress import say

FILE = "stages.json"


@dataclass
class Ledger:
    """The stages of one run folder.

    Attributes:
        folder: The run folder.
        settings: What the run was started with; a run with other settings needs another folder.
        stages: name -> {"done": bool, "seconds": float}; seconds include interrupted attempts.
    """

    folder: Path
    settings: dict[str, Any]
    stages: dict[str, dict[str, Any]] = field(default_factory=dict)

    def done(self, name: str) -> bool:
        """True when the stage was finished, in this process or an earlier one."""
        return bool(self.stages.get(name, {}).get("done"))

    def seconds(self, name: str) -> float:
        """Wall-clock seconds spent in a stage so far."""
        return float(self.stages.get(name, {}).get("seconds", 0.0))

    @contextmanager
    def stage(self, name: str, about: str) -> Iterator[bool]:
        """Time a stage; yields False when it is already done and its block should do nothing."""
        if self.done(name):
            say(f"[{name}] done before ({self.seconds(name):.0f} s): skipped")
            yield False
            return
        say(f"[{name}] {about}" + (", going on where it stopped" if name in self.stages else ""))
        start, before = time.monotonic(), self.seconds(name)
        self._write(name, False, before)
        try:
            yield True
        except BaseException:
            self._write(name, False, before + time.monotonic() - start)
            raise
        self._write(name, True, before + time.monotonic() - start)
        say(f"[{name}] done in {self.seconds(name):.0f} s")

    def _write(self, name: str, done: bool, seconds: float) -> None:
        self.stages[name] = {"done": done, "seconds": round(seconds, 2)}
        target = self.folder / FILE
        part = target.with_suffix(".part")
        part.write_text(json.dumps({"settings": self.settings, "stages": self.stages}, indent=2))
        os.replace(part, target)


@contextmanager
def open_ledger(folder: Path, settings: dict[str, Any]) -> Iterator[Ledger]:
    """Open a run folder for this process alone.

    Raises:
        StageError: The folder cannot be written, is in use, or belongs to a run with other settings.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StageError(
                    f"{folder} is in use by another run: wait for it, or choose another --out"
                ) from None
            yield Ledger(folder, settings, _earlier(folder, settings))
    except OSError as error:
        raise StageError(f"cannot write {error.filename or folder}: {error.strerror or error}") from error


def _earlier(folder: Path, settings: dict[str, Any]) -> dict[str, dict[str, Any]]:
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        record = json.loads(path.read_text())
        there, stages = record["settings"], record["stages"]
    except (ValueError, KeyError, TypeError) as error:
        raise StageError(f"{path} is damaged ({error}): remove {folder} to start afresh") from error
    for key in sorted(set(there) | set(settings)):
        if there.get(key) != settings.get(key):
            raise StageError(
                f"{folder} holds a run with {key}={there.get(key)}, not {settings.get(key)}: "
                "choose another --out, or remove it"
            )
    return dict(stages)
