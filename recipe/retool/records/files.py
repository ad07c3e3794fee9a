"""The small files of a run, and the size of the large ones."""

import json
from pathlib import Path
from typing import Any

import yaml

from recipe.retool.errors import DataError
from recipe.retool.records.folders import SUMMARY, RunFolder


def read_summary(run: RunFolder, notes: list[str]) -> dict[str, Any]:
    """``summary.json`` of an evaluation or of the quickstart that a run belongs to; empty without one."""
    inside = str(run.folder) != run.name  # the RL run of a quickstart
    path = (run.folder.parent if inside else run.folder) / SUMMARY
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        notes.append(f"{SUMMARY} cannot be read: {error}")
        return {}
    return found if isinstance(found, dict) else {}


def count_lines(path: Path) -> int:
    """Lines of a file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error


def read_config(run: RunFolder, notes: list[str]) -> dict[str, Any]:
    """``config.yaml`` of a run; empty, with a note where it is not absent, when it cannot be read."""
    path = run.folder / "config.yaml"
    if not path.is_file():
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        notes.append(f"config.yaml cannot be read: {str(error).splitlines()[0]}")
        return {}
    return found if isinstance(found, dict) else {}


def look_up(values: dict[str, Any], key: str, default: Any = None) -> Any:
    """The value of a dotted key; ``default`` where a part of it is absent."""
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, dict) or part not in found:
            return default
        found = found[part]
    return found


def dump_bytes(folder: RunFolder) -> int:
    """Bytes of all trajectories of a run."""
    files = [*folder.rollouts.values(), *folder.validation.values(), *map(folder.counters, folder.rollouts)]
    files += [folder.samples] if folder.samples else []
    return sum(path.stat().st_size for path in files if path.is_file())
