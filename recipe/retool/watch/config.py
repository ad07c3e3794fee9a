"""How long a run is meant to be."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recipe.retool.evaluation.store import IDENTITY
from recipe.retool.watch.words import total_in_log


@dataclass(frozen=True)
class Plan:
    """What ``config.yaml`` of a run folder says, and verl's log where it does not.

    Attributes:
        total: Training steps; None when not known (yet).
        evaluation: The run trains nothing.
    """

    total: int | None = None
    evaluation: bool = False

    @property
    def complete(self) -> bool:
        """Nothing is left to find out."""
        return self.evaluation or self.total is not None


def read_plan(folder: Path) -> Plan:
    """The plan of a run; empty while there is no config, or none that can be read."""
    trainer = _trainer(folder / "config.yaml")
    if trainer.get("val_only") is True or (folder / IDENTITY).is_file():
        return Plan(evaluation=True)
    steps = trainer.get("total_training_steps")
    if isinstance(steps, int) and not isinstance(steps, bool) and steps > 0:
        return Plan(steps)
    return Plan(total_in_log(folder / "engine.log"))


def _trainer(path: Path) -> dict[str, Any]:
    try:
        config = yaml.load(path.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    node = config.get("trainer") if isinstance(config, dict) else None
    return node if isinstance(node, dict) else {}
