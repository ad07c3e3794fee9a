"""How far an evaluation is, from the answers on disk: a bar in a terminal, a line now and then elsewhere."""

import json
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from recipe.retool.evaluation.store import Store
from recipe.retool.stages.progress import say

_LINE_SECONDS = 20.0


class EvalProgress:
    """Call it often while answers are written.

    Args:
        store: The evaluation.
        samples: Answers a problem that are asked for; further ones, from an earlier run, do not count.
        console: Where the bar goes; default: the terminal.
    """

    def __init__(self, store: Store, samples: int, console: Console | None = None) -> None:
        self._store, self._samples = store, samples
        self._offset = 0
        self._answers = 0
        self._right = 0.0
        self._total: int | None = None
        console = console or Console()
        self._bar = Progress(
            TextColumn("  answers"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[accuracy]}"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task: TaskID | None = None
        self._shown = console.is_terminal
        self._told = (time.monotonic(), 0)

    def __enter__(self) -> "EvalProgress":
        self._read()  # what is there from before is no speed of this run
        if self._shown:
            self._bar.start()
        self._told = (time.monotonic(), self._answers)
        self._begin = self._told
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self()
            self._bar.stop()

    def __call__(self) -> None:
        self._read()
        if self._total is None:
            self._total = self._store.facts().get("answers")
        if self._total is None:
            return
        if self._shown:
            self._draw(self._total)
        elif time.monotonic() - self._told[0] >= _LINE_SECONDS and self._answers > self._told[1]:
            self._told = (time.monotonic(), self._answers)
            say(self._line(self._total))

    def _draw(self, total: int) -> None:
        if self._task is None:
            self._task = self._bar.add_task("", total=total, completed=self._begin[1], accuracy="")
        self._bar.update(self._task, completed=self._answers, accuracy=f"accuracy {self._accuracy():.1%}")

    def _line(self, total: int) -> str:
        seconds, made = time.monotonic() - self._begin[0], self._answers - self._begin[1]
        left = (total - self._answers) * seconds / made
        return f"  {self._answers}/{total} answers  accuracy {self._accuracy():.1%}  ETA {left / 60:.1f} min"

    def _accuracy(self) -> float:
        return self._right / self._answers if self._answers else 0.0

    def _read(self) -> None:
        if not self._store.samples.is_file():
            return
        with self._store.samples.open("rb") as stream:
            stream.seek(self._offset)
            for line in stream:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                row = json.loads(line)
                if row["sample"] < self._samples:
                    self._answers += 1
                    self._right += float(row["acc"])
