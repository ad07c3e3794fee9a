"""Problems of any source -> clean rows for verl's ``RLHFDataset``.

Left out: copies, near-copies (equal but for case, spacing, LaTeX spacing and prose punctuation), every
question that occurs with different answers, questions and ground truths that are empty or no values
('nan', '1.2e+20'). For training also ground truths beyond 2^53 that a float holds exactly: nearly always
a number that was rounded on the way, and a wrong truth rewards wrong answers. An evaluation set keeps
those, because a changed set is no longer comparable; they are reported.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from recipe.retool.data.answers import AnswerKind, answer_kind, canonical_answer
from recipe.retool.data.io import RowReader
from recipe.retool.data.output import parquet_sink
from recipe.retool.data.prompts import with_instruction
from recipe.retool.data.report import Note, PrepReport
from recipe.retool.data.sources import Kind, Problem, Source
from recipe.retool.errors import DataError

AGENT_NAME = "retool_agent"

_EXACT = "exact duplicate"
_NEAR = "near duplicate"
_CONFLICT = "question with different ground truths"
_EMPTY = "empty question"
_NO_WRAPPER = "the source's wrapper text was not found"
_OWN_FORMAT = "question mentions \\boxed or 'Answer:' itself"

_LATEX_SPACE = re.compile(r"\\(?:[,;:! ]|quad\b|qquad\b|left\b|right\b|displaystyle\b)|~|\\?\$|\\[()\[\]]")
_LATEX_FRACTION = re.compile(r"\\[dt]frac\b")
_SPACE = re.compile(r"\s+")
# Between digits '.', ',' and ':' carry meaning (1.5, f(1,2), 1:2); elsewhere they are prose.
_PROSE_MARK = re.compile(r"[?;\"“”，。？；、]|(?<![0-9])[.,:]|[.,:](?![0-9])")
_MENTIONS_FORMAT = re.compile(r"\\boxed|\bAnswer:")

_TEXT = pa.string()
RL_SCHEMA = pa.schema(
    [
        ("data_source", _TEXT),
        ("prompt", pa.list_(pa.struct([("role", _TEXT), ("content", _TEXT)]))),
        ("ability", _TEXT),
        ("reward_model", pa.struct([("style", _TEXT), ("ground_truth", _TEXT)])),
        ("extra_info", pa.struct([("index", _TEXT), ("split", _TEXT), ("question", _TEXT)])),
        ("agent_name", _TEXT),
    ]
)


def normalised(question: str) -> str:
    """Key under which near-copies of a question meet."""
    text = unicodedata.normalize("NFC", question)  # NFKC would make x2 of x²
    text = _LATEX_FRACTION.sub(r"\\frac", _LATEX_SPACE.sub("", text))
    return _PROSE_MARK.sub("", _SPACE.sub("", text)).casefold()


@dataclass
class _Group:
    """Problems with one normalised question: the first of them and what the others add."""

    first: Problem
    source: Source
    members: set[tuple[str, str]]  # question and canonical answer of each distinct problem
    answers: dict[str, str]  # canonical answer -> where it was first seen


@dataclass
class Cleaner:
    """Takes the problems of all inputs, then hands out the clean ones in their first order.

    Every row that was taken is either handed out or counted once in ``dropped``.
    """

    kind: Kind
    rows_read: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    drops: list[Note] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    _groups: dict[str, _Group] = field(default_factory=dict)

    def read(self, location: str, source: Source) -> None:
        """Take the rows of one input.

        Raises:
            DataError: It cannot be read, or a row has another shape than the source's.
        """
        reader = RowReader(location, source.columns, source.merge)
        yielded = 0
        for row in reader:
            self.add(source.convert(row), source)
            yielded += 1
        self.rows_read += reader.rows_read
        self.dropped[_EXACT] += reader.rows_read - yielded

    def add(self, problem: Problem, source: Source) -> None:
        """Take one problem."""
        if not problem.question:
            self._drop(problem.where, _EMPTY)
            return
        answer = canonical_answer(problem.answer)
        member = (problem.question, answer)
        group = self._groups.setdefault(normalised(problem.question), _Group(problem, source, set(), {}))
        if member in group.members:
            self.dropped[_EXACT] += 1
        group.members.add(member)
        group.answers.setdefault(answer, problem.where)

    def finish(self) -> list[tuple[Problem, Source]]:
        """The clean problems; the counts and notes are complete afterwards."""
        clean = []
        for group in self._groups.values():
            if len(group.answers) > 1:
                found = ", ".join(f"'{answer}' ({where})" for answer, where in group.answers.items())
                self._drop(group.first.where, _CONFLICT, found, rows=len(group.members))
                continue
            self.dropped[_NEAR] += len(group.members) - 1
            if self._answer_serves(group.first):
                self._note(group.first)
                clean.append((group.first, group.source))
        return clean

    def _answer_serves(self, problem: Problem) -> bool:
        kind = answer_kind(canonical_answer(problem.answer))
        if kind is AnswerKind.INTEGER:
            return True
        if kind is AnswerKind.UNUSABLE or (kind is AnswerKind.ROUNDED and self.kind == "rl"):
            self._drop(problem.where, kind.value, f"'{problem.answer}'")
            return False
        self._observe(problem.where, kind.value, f"'{problem.answer}'")
        return True

    def _note(self, problem: Problem) -> None:
        if not problem.unwrapped:
            self._observe(problem.where, _NO_WRAPPER)
        if _MENTIONS_FORMAT.search(problem.question):
            self._observe(problem.where, _OWN_FORMAT)

    def _drop(self, where: str, reason: str, detail: str = "", rows: int = 1) -> None:
        self.dropped[reason] += rows
        self.drops.append(Note(where, f"{reason}: {detail}" if detail else reason))

    def _observe(self, where: str, reason: str, detail: str = "") -> None:
        self.noted[reason] += 1
        self.notes.append(Note(where, f"{reason}: {detail}" if detail else reason))


def verl_row(problem: Problem, source: Source) -> dict[str, Any]:
    """A row that verl's ``RLHFDataset`` reads as it is; see `RL_SCHEMA`."""
    return {
        "data_source": source.data_source,
        "prompt": [{"role": "user", "content": with_instruction(problem.question)}],
        "ability": "MATH",
        "reward_model": {"style": "rule", "ground_truth": canonical_answer(problem.answer)},
        "extra_info": {
            "index": problem.uid,
            "split": "train" if source.kind == "rl" else "test",
            "question": problem.question,
        },
        "agent_name": AGENT_NAME,
    }


def write_problems(
    inputs: Iterable[tuple[str, Source]], output: Path, kind: Kind, limit: int | None = None
) -> PrepReport:
    """Clean the problems of all inputs together and write them.

    Args:
        inputs: Pairs of a location (file, folder or hub name) and its source.
        output: Parquet file to write, in one piece.
        kind: Kind of all the sources.
        limit: Rows to write at most, from the first.

    Raises:
        DataError: An input cannot be read, the output cannot be written, or no problem is left.
    """
    cleaner = Cleaner(kind)
    locations = []
    for location, source in inputs:
        cleaner.read(location, source)
        locations.append(location)
    clean = cleaner.finish()
    if not clean:
        reasons = ", ".join(f"{count} {reason}" for reason, count in (+cleaner.dropped).items())
        raise DataError(f"{', '.join(locations)}: no usable problem in {cleaner.rows_read} rows ({reasons})")
    kept = clean[:limit]
    with parquet_sink(output, RL_SCHEMA) as sink:
        for problem, source in kept:
            sink.add(verl_row(problem, source))
    beyond = {"beyond --limit": len(clean) - len(kept)} if len(kept) < len(clean) else {}
    return PrepReport(
        title="RL data" if kind == "rl" else "evaluation data",
        inputs=tuple(locations),
        output=str(output),
        rows_read=cleaner.rows_read,
        rows_written=len(kept),
        dropped={**+cleaner.dropped, **beyond},
        noted=dict(cleaner.noted),
        drops=tuple(cleaner.drops),
        notes=tuple(cleaner.notes),
    )
