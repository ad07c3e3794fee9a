"""A fair part of many trajectories, chosen while they stream by."""

import hashlib
import math
import random
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
STEP_RANGES = 20


class StratifiedSample(Generic[Item]):
    """Keeps at most so many items of each stratum, each item of a stratum with the same chance (algorithm R).

    Args:
        each: Most items of one stratum; None keeps all.
        seed: The same items in the same order give the same sample.
    """

    def __init__(self, each: int | None, seed: int = 0) -> None:
        self._each = each
        self._rng = random.Random(seed)
        self._kept: dict[Hashable, list[Item]] = {}
        self.seen: dict[Hashable, int] = {}

    def offer(self, stratum: Hashable, make: Callable[[], Item]) -> None:
        """Show one item; ``make`` is called only when it is kept."""
        seen = self.seen[stratum] = self.seen.get(stratum, 0) + 1
        kept = self._kept.setdefault(stratum, [])
        if self._each is None or len(kept) < self._each:
            kept.append(make())
            return
        place = self._rng.randrange(seen)
        if place < self._each:
            kept[place] = make()

    def take(self, most: int, room: int, size: Callable[[Item], int]) -> list[Item]:
        """At most ``most`` items, one of each stratum in turn, whose sizes sum up to ``room`` or less."""
        taken: list[Item] = []
        longest = max(map(len, self._kept.values()), default=0)
        for turn in range(longest):
            for kept in self._kept.values():
                if turn < len(kept) and len(taken) < most and size(kept[turn]) <= room:
                    room -= size(kept[turn])
                    taken.append(kept[turn])
        return taken


def each_of(limit: int, total: int, strata: int) -> int | None:
    """How many items of each stratum to keep for a sample of ``limit``; None when all fit.

    Twice the even share: some strata (truncated, failed) hold little or nothing.
    """
    return None if total <= limit else max(1, math.ceil(2 * limit / max(1, strata)))


def step_ranges(steps: Sequence[int], ranges: int = STEP_RANGES) -> dict[int, int]:
    """Step -> number of its range; the ranges hold the same number of steps, give or take one."""
    ordered = sorted(steps)
    parts = min(ranges, len(ordered))
    return {step: place * parts // len(ordered) for place, step in enumerate(ordered)}


def digest(text: str) -> str:
    """A short name of a text; sorting by it is a random order that is the same in every file."""
    return hashlib.sha256(text.encode("utf-8", errors="replace")).hexdigest()[:24]
