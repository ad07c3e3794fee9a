"""One trajectory as the report reads it: texts and counters together."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recipe.retool.env.transcript import SEGMENTS
from recipe.retool.reward.values import as_number

TRAINING, VALIDATION, EVALUATION = "training", "validation", "evaluation"
RIGHT, WRONG, FAILED, TRUNCATED, UNKNOWN = "right", "wrong", "failed code", "truncated", "not scored"
_FAILED_CALLS = ("tool_errors", "tool_malformed", "tool_incomplete", "tool_unknown")
_PADDING = re.compile(r"pad[0-9a-f]{32}_")
_TEXTS = ("input", "output", "gts", SEGMENTS)


@dataclass(frozen=True)
class Trajectory:
    """One dialogue.

    Attributes:
        group: ``training``, ``validation`` or ``evaluation``.
        step: Training step; None for an evaluation.
        row: The dumped row, with the counters of the same uid.
    """

    group: str
    step: int | None
    row: Mapping[str, Any]

    def text(self, key: str) -> str:
        """A text of the row; empty where it is absent."""
        value = self.row.get(key)
        return "" if value is None else str(value)

    def number(self, key: str) -> float | None:
        """A number of the row; None where it is absent or none."""
        return as_number(self.row.get(key))

    @property
    def right(self) -> bool | None:
        """Whether the answer is right; None when nothing says so."""
        acc = self.number("acc")
        return None if acc is None else acc > 0

    @property
    def failed(self) -> bool:
        """A call was made that ended in an error, or could not be read, by the model's fault."""
        return any((self.number(key) or 0) > 0 for key in _FAILED_CALLS)

    @property
    def truncated(self) -> bool:
        """A budget ended it."""
        return (self.number("truncated") or 0) > 0

    @property
    def masked(self) -> bool:
        """No token of it is trained on (``retool.masks``)."""
        return (self.number("masked") or 0) > 0

    @property
    def kind(self) -> str:
        """The one class that it is sampled under."""
        if self.truncated:
            return TRUNCATED
        if self.failed:
            return FAILED
        return UNKNOWN if self.right is None else (RIGHT if self.right else WRONG)

    @property
    def characters(self) -> int:
        """How much text it holds."""
        return len(self.text("input")) + len(self.text("output"))


def is_padding(row: Mapping[str, Any]) -> bool:
    """Whether verl put the row there to fill up a batch (``padding_utils.py``): nothing the policy wrote."""
    return _PADDING.match(str(row.get("uid", ""))) is not None


def numbers_only(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row without its long texts: what figures are made of."""
    return {key: value for key, value in row.items() if key not in _TEXTS}


def problem_key(row: Mapping[str, Any]) -> str:
    """What tells the problems of one file apart: verl's uid of the prompt, or the prompt itself."""
    uid = str(row.get("uid") or "")
    return uid.split("_")[0] if uid.count("_") >= 2 and "doc_id" not in row else _named(row)


def _named(row: Mapping[str, Any]) -> str:
    if "doc_id" in row:
        return f"{row.get('data_source', '')}/{row['doc_id']}"
    return str(row.get("input", ""))
