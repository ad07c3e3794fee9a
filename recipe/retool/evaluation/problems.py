"""The problems of an evaluation, each with a name that stays when the file is written anew."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from recipe.retool.errors import DataError

_COLUMNS = ("prompt", "data_source", "reward_model")


@dataclass(frozen=True)
class Problem:
    """One problem.

    Attributes:
        doc_id: Hash of data set, prompt and gold answer; a repeated problem gets a number besides.
        row: What verl hands an agent loop: ``raw_prompt``, ``data_source``, ``reward_model``, ``extra_info``,
            ``tools_kwargs``.
    """

    doc_id: str
    row: Mapping[str, Any]

    @property
    def data_source(self) -> str:
        """Name of the data set."""
        return str(self.row["data_source"])

    @property
    def gold(self) -> Any:
        """The gold answer, text or a number."""
        return self.row["reward_model"]["ground_truth"]


def name_problems(rows: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Problems of rows with ``raw_prompt``, ``data_source`` and ``reward_model``."""
    seen: Counter[str] = Counter()
    problems = []
    for row in rows:
        prompt = [(message["role"], message["content"]) for message in row["raw_prompt"]]
        parts = [row["data_source"], prompt, str(row["reward_model"]["ground_truth"])]
        name = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        seen[name] += 1
        problems.append(Problem(name if seen[name] == 1 else f"{name}x{seen[name]}", row))
    return problems


def read_problems(paths: Iterable[str | Path]) -> list[Problem]:
    """Problems of parquet files, for servers whose tokenizer is not known here.

    Raises:
        DataError: A file cannot be read, lacks a column or holds no row.
    """
    rows = [row for path in paths for row in _rows(Path(path).expanduser())]
    return name_problems(rows)


def _rows(path: Path) -> list[dict[str, Any]]:
    try:
        rows = pq.read_table(path).to_pylist()
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as parquet: {error}") from error
    if not rows:
        raise DataError(f"{path} holds no row")
    for name in _COLUMNS:
        if name not in rows[0]:
            raise DataError(f"{path}: no column {name!r}; write it with `retool data eval`")
    for number, row in enumerate(rows):
        if not _is_dialogue(row["prompt"]):
            raise DataError(f"{path}: row {number}: prompt must be a list of messages with role and content")
        gold = row["reward_model"]
        if not isinstance(gold, Mapping) or gold.get("ground_truth") is None:
            raise DataError(f"{path}: row {number}: no reward_model.ground_truth")
        row["raw_prompt"] = row["prompt"]
        row["extra_info"] = row.get("extra_info") or {}
        row["tools_kwargs"] = row["extra_info"].get("tools_kwargs") or {}
    return rows


def _is_dialogue(prompt: Any) -> bool:
    messages = prompt if isinstance(prompt, list) else []
    return bool(messages) and all(isinstance(m, Mapping) and {"role", "content"} <= set(m) for m in messages)


def count_rows(paths: Iterable[str | Path]) -> int:
    """Rows of parquet files together."""
    return sum(pq.read_metadata(Path(path).expanduser()).num_rows for path in paths)


def file_hash(paths: Iterable[str | Path]) -> str:
    """SHA-256 of the contents of files, in order."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).expanduser().read_bytes())
    return digest.hexdigest()
