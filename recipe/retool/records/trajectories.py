"""Reading the trajectories that verl dumps."""

import json
from pathlib import Path
from typing import Any

from recipe.retool.errors import StageError


def read_trajectories(path: Path) -> list[dict[str, Any]]:
    """The trajectories that verl dumped for one step (``rollout_data_dir``, ``validation_data_dir``).

    Raises:
        StageError: The file is missing, empty or half-written.
    """
    try:
        # Not splitlines(): it also cuts at U+2028 and the like, which verl writes inside strings.
        lines = path.read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line.strip()]
    except FileNotFoundError:
        raise StageError(f"no trajectories at {path}: the engine ended before it wrote them") from None
    except (OSError, ValueError) as error:
        raise StageError(f"{path} cannot be read: {error}") from error
    if not rows:
        raise StageError(f"{path} holds no trajectory")
    return rows
