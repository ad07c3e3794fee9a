"""The answers of an evaluation while it writes them, one line each."""

import json
import time
from pathlib import Path
from typing import Any

from recipe.retool.env.counters import COUNTERS
from recipe.retool.report.metrics_log import LineTail
from recipe.retool.report.runs import SAMPLES
from recipe.retool.reward.values import as_number

MANIFEST = "evaluation.json"
_KEPT = ("acc", *COUNTERS)


class Answers:
    """Counters of the answers so far; their texts are not kept.

    Attributes:
        rows: ``acc`` and counters of each answer.
        total: How many there will be (``answers`` in evaluation.json); None when that is not told.
    """

    def __init__(self, folder: Path) -> None:
        self._tail = LineTail(folder / SAMPLES)
        self._manifest = folder / MANIFEST
        self._seen: tuple[float, int] | None = None
        self.rows: list[dict[str, Any]] = []
        self.total: int | None = None

    def read(self) -> None:
        """Read on."""
        for row in self._tail.new():
            self.rows.append({key: row[key] for key in _KEPT if key in row})
        if self._seen is None:
            self._seen = (time.monotonic(), len(self.rows))
        if self.total is None and self.rows:
            self.total = _total(self._manifest)

    @property
    def pace(self) -> float | None:
        """Seconds an answer as seen since watching began; None before there was a new one."""
        since, first = self._seen or (0.0, len(self.rows))
        more = len(self.rows) - first
        return (time.monotonic() - since) / more if more > 0 else None

    @property
    def bad(self) -> int:
        """Lines that are no answer."""
        return self._tail.bad

    @property
    def begun_anew(self) -> bool:
        """Whether another evaluation has taken the folder over."""
        return self._tail.begun_anew


def _total(manifest: Path) -> int | None:
    try:
        value = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    number = as_number(value.get("answers")) if isinstance(value, dict) else None
    return int(number) if number and number > 0 else None
