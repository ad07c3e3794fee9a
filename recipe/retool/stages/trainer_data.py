"""The rows of a Python data set as the parquet file that verl reads."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recipe.retool.data.output import atomic_path
from recipe.retool.data.prompts import with_instruction
from recipe.retool.data.rl import AGENT_NAME
from recipe.retool.errors import DataError

DATA_SOURCE = "python"
Row = Mapping[str, Any]


def write_rows(target: Path, rows: Iterable[Row], split: str) -> int:
    """Write rows ``{"prompt": ..., "answer": ...}`` and return their number.

    Raises:
        DataError: There is no row, or one lacks a prompt or an answer; it is named by its number from 0.
    """
    made = [_verl_row(row, number, split) for number, row in enumerate(rows)]
    if not made:
        raise DataError(f"the {split} data set has no row")
    try:
        table = pa.Table.from_pylist(made)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DataError(
            f"the rows of the {split} data set have values of different types: {error}"
        ) from error
    with atomic_path(target) as part:
        pq.write_table(table, part)
    return len(made)


def _verl_row(row: Row, number: int, split: str) -> dict[str, Any]:
    where = f"row {number} of the {split} data set"
    if not isinstance(row, Mapping):
        raise DataError(f"{where} is no mapping with 'prompt' and 'answer'")
    for key in ("prompt", "answer"):
        if row.get(key) is None or row[key] == "":
            raise DataError(f"{where}: {key!r} is missing; it has: {', '.join(map(str, row)) or 'nothing'}")
    more = {str(key): value for key, value in row.items() if key not in ("prompt", "answer")}
    return {
        "data_source": DATA_SOURCE,
        "prompt": _messages(row["prompt"], where),
        "ability": "MATH",
        "reward_model": {"style": "rule", "ground_truth": str(row["answer"])},
        "extra_info": {**more, "index": f"{split}-{number}", "split": split},
        "agent_name": AGENT_NAME,
    }


def _messages(prompt: Any, where: str) -> list[dict[str, str]]:
    """A text becomes a user message, with the answer format unless it names one itself."""
    if isinstance(prompt, str):
        content = prompt if "\\boxed" in prompt else with_instruction(prompt)
        return [{"role": "user", "content": content}]
    if isinstance(prompt, list) and all(isinstance(m, Mapping) and "role" in m for m in prompt) and prompt:
        return [{"role": str(m["role"]), "content": str(m.get("content") or "")} for m in prompt]
    raise DataError(f"{where}: 'prompt' must be a text or a list of messages with role and content")
