"""What a preparation read, wrote and left out: plain numbers, a text for people, a JSON file for tools."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any

_SHOWN = 10  # examples a heading in the printed text; the JSON file has them all


@dataclass(frozen=True)
class Note:
    """One row that was left out, or kept and worth a look.

    Attributes:
        where: File and row, as the reader of the file names them.
        reason: Why.
    """

    where: str
    reason: str


@dataclass(frozen=True)
class PrepReport:
    """Outcome of one preparation.

    Attributes:
        title: What was prepared.
        inputs: Files or hub names that were read.
        output: The file that was written.
        rows_read: Rows read, every copy counted.
        rows_written: Rows written.
        dropped: Reason -> number of rows left out for it.
        noted: Observation -> number of rows that were kept all the same.
        drops: The rows left out for another reason than being a duplicate, one by one.
        notes: The rows behind ``noted``, one by one.
    """

    title: str
    inputs: tuple[str, ...]
    output: str
    rows_read: int
    rows_written: int
    dropped: dict[str, int] = field(default_factory=dict)
    noted: dict[str, int] = field(default_factory=dict)
    drops: tuple[Note, ...] = ()
    notes: tuple[Note, ...] = ()

    def to_json(self) -> str:
        """The whole report as indented JSON."""
        body: dict[str, Any] = asdict(self)
        return json.dumps(body, indent=2, ensure_ascii=False) + "\n"

    def render(self) -> str:
        """The report for a terminal: all counts, and the first rows behind them."""
        lines = [
            f"{self.title}: {self.rows_read:,} rows read from {', '.join(self.inputs)}",
            f"{self.rows_written:,} rows written to {self.output}",
        ]
        lines += _section("left out", self.dropped, self.drops)
        lines += _section("kept, worth a look", self.noted, self.notes)
        return "\n".join(lines) + "\n"


def _section(heading: str, counts: dict[str, int], notes: tuple[Note, ...]) -> list[str]:
    if not counts:
        return []
    lines = [f"{heading}:"]
    lines += [f"  {count:>9,}  {reason}" for reason, count in counts.items()]
    lines += [f"    {note.where}: {note.reason}" for note in notes[:_SHOWN]]
    if len(notes) > _SHOWN:
        lines.append(f"    ... and {len(notes) - _SHOWN:,} more in the report file")
    return lines
