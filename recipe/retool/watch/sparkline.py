"""A series of numbers as one line of text."""

import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
PLAIN = "_.-=+*#@"  # for terminals without Unicode
_NONE = "·"
_NONE_PLAIN = "?"


def sparkline(values: Sequence[float | None], width: int, blocks: str = BLOCKS) -> str:
    """Draw values from lowest to highest block.

    Args:
        values: None, NaN and infinities are shown as a dot (``?`` in plain text).
        width: Most characters. More values than that are averaged in neighbouring groups of about one size.
        blocks: Characters from low to high.

    Returns:
        At most ``width`` characters, one for each value or group. Equal values are drawn in the middle.
    """
    cells = [_mean(group) for group in _groups(values, width)]
    drawn = [cell for cell in cells if cell is not None]
    low, high = (min(drawn), max(drawn)) if drawn else (0.0, 0.0)
    gap = _NONE if blocks is BLOCKS else _NONE_PLAIN
    return "".join(gap if cell is None else blocks[_level(cell, low, high, len(blocks))] for cell in cells)


def _level(value: float, low: float, high: float, count: int) -> int:
    if high <= low:
        return (count - 1) // 2
    share = (value / 2 - low / 2) / (high / 2 - low / 2)  # halves: the difference of floats may overflow
    return min(count - 1, max(0, int(share * count)))


def _groups(values: Sequence[float | None], width: int) -> list[Sequence[float | None]]:
    count = min(len(values), max(0, width))
    return [
        values[number * len(values) // count : (number + 1) * len(values) // count] for number in range(count)
    ]


def _mean(group: Sequence[float | None]) -> float | None:
    finite = [value for value in group if value is not None and math.isfinite(value)]
    return math.fsum(value / len(finite) for value in finite) if finite else None
