"""Times and foreign text as a terminal can show them."""

import re
from pathlib import Path

_TAIL_BYTES = 16_384
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_GAPS = re.compile(" {3,}")
_TOTAL = re.compile(rb"Total training steps: (\d+)")  # verl's trainer says it once, at the start
_TOTAL_BYTES = 4_000_000


def duration(seconds: float) -> str:
    """``45 s``, ``3 min 20 s``, ``5 h 12 min``, ``2 d 3 h``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def harmless(text: str) -> str:
    """Text of a file without what would move a terminal's cursor, change its colours or its title."""
    return _CONTROLS.sub("", _ESCAPES.sub("", text).expandtabs(4))


def last_lines(log: Path, count: int) -> list[str]:
    """The last lines of a log that say something; of a progress bar its last state. Empty without a file."""
    try:
        with log.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - _TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError:
        return []
    lines = [harmless(line.rstrip("\r").rsplit("\r", 1)[-1]).strip() for line in text.split("\n")]
    return [_GAPS.sub("  ", line) for line in lines if line][
        -count:
    ]  # Ray's dumps are indented off the screen


def total_in_log(log: Path) -> int | None:
    """The number of steps that verl names at its start; None before it does."""
    try:
        with log.open("rb") as stream:
            found = _TOTAL.search(stream.read(_TOTAL_BYTES))
    except OSError:
        return None
    return int(found[1]) if found else None
