"""Which folder of a quickstart is being worked in; any other run has one folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.retool.errors import DataError
from recipe.retool.reward.values import as_number

LEDGER = "stages.json"
_FOLDER_OF = {"sft": "sft", "merge": "sft", "rl": "rl", "merge_rl": "rl", "evaluate": "evaluate_base"}
_MAIN = "rl"  # what is shown when all is done


@dataclass(frozen=True)
class Stage:
    """One stage of a quickstart: its name, whether it is done, and the seconds of its ended attempts."""

    name: str
    done: bool
    seconds: float


def read_stages(run: Path) -> tuple[Stage, ...]:
    """The stages that a quickstart has begun, in order; empty for other runs."""
    try:
        value = json.loads((run / LEDGER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ()
    stages = value.get("stages") if isinstance(value, dict) else None
    if not isinstance(stages, dict):
        return ()
    return tuple(_stage(name, entry) for name, entry in stages.items() if isinstance(entry, dict))


def working_folder(run: Path, stages: tuple[Stage, ...]) -> Path:
    """Where the present stage writes.

    Raises:
        DataError: There is no such run folder.
    """
    if not run.is_dir():
        raise DataError(
            f"{run}: no such folder; name the run folder: --output of `retool sft`, `rl` or `evaluate`, "
            "--out of `retool quickstart`"
        )
    if not stages:
        return run
    present = next((stage.name for stage in stages if not stage.done), _MAIN)
    return run / _FOLDER_OF[present] if present in _FOLDER_OF else run


def _stage(name: str, entry: dict[str, Any]) -> Stage:
    return Stage(name, entry.get("done") is True, as_number(entry.get("seconds")) or 0.0)
