"""The answers of an evaluation while it writes them, one line each."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.retool.env.counters import COUNTERS
from recipe.retool.evaluation.store import IDENTITY
from recipe.retool.records.behaviour import behaviour
from recipe.retool.records.folders import SAMPLES
from recipe.retool.records.metrics_log import LineTail
from recipe.retool.reward.values import as_number
from recipe.retool.watch.pace import Pace

_KEPT = ("acc", *COUNTERS)


@dataclass(frozen=True)
class Answered:
    """The answers so far.

    Attributes:
        count: How many.
        total: How many there will be (``answers`` in evaluation.json); None when that is not told.
        pace: Seconds an answer, as seen since watching began; None before there was a new one.
        figures: What :func:`behaviour` makes of them.
    """

    count: int
    total: int | None
    pace: float | None
    figures: Mapping[str, float]


class AnswerReader:
    """Follows ``samples.jsonl``; counters are kept, texts are not."""

    def __init__(self, folder: Path) -> None:
        self.tail = LineTail(folder / SAMPLES)
        self._manifest = folder / IDENTITY
        self._rows: list[dict[str, Any]] = []
        self._pace = Pace()
        self._told: Answered | None = None

    def look(self) -> Answered | None:
        """What there is now; None without an answer."""
        before = len(self._rows)
        self._rows += [{key: row[key] for key in _KEPT if key in row} for row in self.tail.new()]
        self._pace.see(len(self._rows))
        if len(self._rows) > before:
            total = self._told.total if self._told and self._told.total else _total(self._manifest)
            self._told = Answered(len(self._rows), total, self._pace.seconds, behaviour(self._rows))
        return self._told


def _total(manifest: Path) -> int | None:
    try:
        value = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    number = as_number(value.get("answers")) if isinstance(value, dict) else None
    return int(number) if number and number > 0 else None
