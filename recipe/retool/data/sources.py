r"""The RL and evaluation sets the recipe knows, each with the code that reads its rows: the only list.

A source is named by the user (``--source``) or by its hub id; it is never guessed from a path. A new one
is one entry in `SOURCES`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from recipe.retool.data.io import SourceRow, is_hub_name, require_text
from recipe.retool.errors import DataError

Kind = Literal["rl", "eval"]

# "... of the form Answer: $Answer (without quotes) where $Answer is ..." (DAPO), "Answer: \boxed{$Answer}"
# (zhuzilin's copies).
_LEAD = re.compile(
    r"\ASolve the following math problem step by step\. "
    r"The last line of your response should be of the form Answer: [^\n]*? is the answer to the problem\.\s*"
)
_TAIL = 'Remember to put your answer on its own line after "Answer:".'


@dataclass(frozen=True)
class Problem:
    """One problem of any set.

    Attributes:
        question: The bare question, without the wrapper of its source.
        answer: Ground truth as the source gives it, as text.
        uid: Identifier within the source.
        where: File and row it came from.
        unwrapped: False when the source has a wrapper that this row lacked.
    """

    question: str
    answer: str
    uid: str
    where: str
    unwrapped: bool = True


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        name: Name on the command line.
        hub_ids: Hub names of the same set; giving one as the input implies the source.
        kind: "rl" to train on, "eval" to measure with.
        data_source: The label in the output, by which verl groups its metrics.
        columns: Top-level columns that are read.
        merge: Dotted paths; rows equal in all of them are the same problem (see `RowReader`).
        convert: Row -> problem; raises DataError for a row of another shape.
    """

    name: str
    hub_ids: tuple[str, ...]
    kind: Kind
    data_source: str
    columns: tuple[str, ...]
    merge: tuple[str, ...]
    convert: Callable[[SourceRow], Problem]


def unwrap(text: str) -> tuple[str, bool]:
    """Remove the DAPO family's wrapper; the flag tells whether both halves of it were there."""
    text, leads = _LEAD.subn("", text.strip())
    bare = text.removesuffix(_TAIL)
    return bare.strip(), leads == 1 and bare != text


def find_source(name: str) -> Source:
    """Source with this name or hub id (case does not matter).

    Raises:
        DataError: There is none; the message lists all.
    """
    for source in SOURCES:
        if name.casefold() in (known.casefold() for known in (source.name, *source.hub_ids)):
            return source
    known = "\n".join(f"  {s.kind:<5} {' = '.join((s.name, *s.hub_ids))}" for s in SOURCES)
    raise DataError(f"'{name}' is no known source (option --source); there are\n{known}")


def source_of(location: str, name: str | None, kind: Kind) -> Source:
    """Source of an input: the named one, else the one whose hub id the input is.

    Raises:
        DataError: It is unknown, not told, or of the other kind.
    """
    if name is None and not is_hub_name(location):
        raise DataError(f"{location}: tell its format with --source ({', '.join(known_names(kind))})")
    source = find_source(location if name is None else name)
    if source.kind != kind:
        use = (
            "train on it is to lose it as a measure; use 'retool data eval'"
            if kind == "rl"
            else "use 'retool data rl'"
        )
        raise DataError(f"{source.name} is of the kind {source.kind}: {use}")
    return source


def known_names(kind: Kind) -> list[str]:
    """Names of the sources of one kind."""
    return [source.name for source in SOURCES if source.kind == kind]


def _one_user_text(value: Any, where: str) -> str:
    if isinstance(value, str):
        return require_text(value, where, "prompt")
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict):
        return require_text(value[0].get("content"), where, "prompt[0].content")
    raise DataError(f"{where}: prompt must be one user message")


def _answer_text(value: Any, where: str, column: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return require_text(value, where, column)


def _field(data: Any, name: str, where: str, column: str) -> Any:
    if not isinstance(data, dict) or name not in data:
        raise DataError(f"{where}: {column} must be an object with {name}")
    return data[name]


def _from_dapo(row: SourceRow) -> Problem:
    question, unwrapped = unwrap(_one_user_text(row.data["prompt"], row.where))
    truth = _field(row.data["reward_model"], "ground_truth", row.where, "reward_model")
    index = _field(row.data["extra_info"], "index", row.where, "extra_info")
    answer = _answer_text(truth, row.where, "reward_model.ground_truth")
    return Problem(question, answer, str(index), row.where, unwrapped)


def _from_zhuzilin(row: SourceRow) -> Problem:
    question, unwrapped = unwrap(_one_user_text(row.data["prompt"], row.where))
    return Problem(
        question, _answer_text(row.data["label"], row.where, "label"), str(row.index), row.where, unwrapped
    )


def _from_columns(question: str, answer: str, uid: str | None) -> Callable[[SourceRow], Problem]:
    """Converter of sets that hold the bare question; without an id column the row number is the id."""

    def convert(row: SourceRow) -> Problem:
        text = require_text(row.data[question], row.where, question).strip()
        identifier = row.index if uid is None else row.data[uid]
        return Problem(text, _answer_text(row.data[answer], row.where, answer), str(identifier), row.where)

    return convert


_DAPO_COLUMNS = ("prompt", "reward_model", "extra_info")
_DAPO_MERGE = ("prompt.content", "reward_model.ground_truth")
_LABEL_COLUMNS = ("prompt", "label")
_LABEL_MERGE = ("prompt.content", "label")
_INPUT_OUTPUT = ("input", "output")

# verl's own scorer knows these labels too, so that the files serve without our reward.
SOURCES: tuple[Source, ...] = (
    Source(
        "dapo-math-17k",
        ("BytedTsinghua-SIA/DAPO-Math-17k",),
        "rl",
        "math_dapo",
        _DAPO_COLUMNS,
        _DAPO_MERGE,
        _from_dapo,
    ),
    Source(
        "dapo-math-17k-zhuzilin",
        ("zhuzilin/dapo-math-17k",),
        "rl",
        "math_dapo",
        _LABEL_COLUMNS,
        _LABEL_MERGE,
        _from_zhuzilin,
    ),
    Source(
        "aime-2024-dapo",
        ("BytedTsinghua-SIA/AIME-2024",),
        "eval",
        "aime_2024",
        _DAPO_COLUMNS,
        _DAPO_MERGE,
        _from_dapo,
    ),
    Source(
        "aime-2024",
        ("Maxwell-Jia/AIME_2024",),
        "eval",
        "aime_2024",
        ("ID", "Problem", "Answer"),
        ("Problem", "Answer"),
        _from_columns("Problem", "Answer", "ID"),
    ),
    Source(
        "aime-2024-zhuzilin",
        ("zhuzilin/aime-2024",),
        "eval",
        "aime_2024",
        _LABEL_COLUMNS,
        _LABEL_MERGE,
        _from_zhuzilin,
    ),
    Source(
        "aime-2024-retool",
        (),
        "eval",
        "aime_2024",
        _INPUT_OUTPUT,
        _INPUT_OUTPUT,
        _from_columns("input", "output", None),
    ),
    Source(
        "aime-2025",
        ("yentinglin/aime_2025",),
        "eval",
        "aime_2025",
        ("id", "problem", "answer"),
        ("problem", "answer"),
        _from_columns("problem", "answer", "id"),
    ),
    Source(
        "aime-2025-retool",
        (),
        "eval",
        "aime_2025",
        _INPUT_OUTPUT,
        _INPUT_OUTPUT,
        _from_columns("input", "output", None),
    ),
)
