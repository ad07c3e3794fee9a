"""The counters of each training trajectory on disk, beside the texts that verl dumps without them."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recipe.retool.env.transcript import SEGMENTS
from recipe.retool.records.behaviour import CALL_SECONDS
from recipe.retool.reward.values import as_number

FOLDER = "counters"  # in trainer.rollout_data_dir


def write_counters(folder: str | Path, step: int, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write one line for each trajectory of a step to ``counters/STEP.jsonl``.

    Args:
        folder: ``trainer.rollout_data_dir``. Its own ``STEP.jsonl`` has the same ``uid`` for each trajectory.
        step: Training step.
        rows: Rows with ``uid``; numbers, ``pred``, the segments and the seconds of calls are kept.

    Returns:
        The file; it replaces an older one of the same step when it is whole.
    """
    target = Path(folder) / FOLDER / f"{step}.jsonl"
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    part.write_text("".join(json.dumps(_kept(row)) + "\n" for row in rows), encoding="utf-8")
    os.replace(part, target)
    return target


def _kept(row: Mapping[str, Any]) -> dict[str, Any]:
    numbers = {key: as_number(value) for key, value in row.items()}
    return {
        **{key: number for key, number in sorted(numbers.items()) if number is not None},
        "uid": str(row.get("uid", "")),
        "pred": str(row.get("pred", "")),
        SEGMENTS: [list(segment) for segment in row.get(SEGMENTS) or ()],
        CALL_SECONDS: [round(as_number(value) or 0.0, 6) for value in row.get(CALL_SECONDS) or ()],
    }
