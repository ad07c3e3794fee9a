"""What one check of ``retool doctor`` found, and how the findings are printed."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum


class Level(str, Enum):
    """How bad a finding is. Only ERROR makes ``retool doctor`` exit with 1."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Check:
    """One line of the table.

    Attributes:
        name: What was looked at.
        level: The verdict.
        found: What was seen.
        fix: What to do; empty when all is well.
    """

    name: str
    level: Level
    found: str
    fix: str = ""


def ok(name: str, found: str) -> Check:
    """A check that passed."""
    return Check(name, Level.OK, found)


def warning(name: str, found: str, fix: str) -> Check:
    """Something that may hurt later."""
    return Check(name, Level.WARNING, found, fix)


def error(name: str, found: str, fix: str) -> Check:
    """Something that keeps the recipe from running."""
    return Check(name, Level.ERROR, found, fix)


def render(checks: Sequence[Check]) -> str:
    """The table, the fix of each bad line under it, and a count."""
    width = max((len(check.name) for check in checks), default=0)
    lines: list[str] = []
    for check in checks:
        lines.append(f"{check.level.value:<8} {check.name:<{width}}  {check.found}")
        if check.fix:
            lines.append(f"{'':<8} {'':<{width}}  -> {check.fix}")
    counts = {level: sum(check.level is level for check in checks) for level in Level}
    summary = ", ".join(f"{count} {level.value}" for level, count in counts.items())
    return "\n".join([*lines, "", summary]) + "\n"


def render_json(checks: Sequence[Check]) -> str:
    """The same for programs: a list of objects with name, level, found and fix."""
    return json.dumps([{**asdict(check), "level": check.level.value} for check in checks], indent=2) + "\n"
