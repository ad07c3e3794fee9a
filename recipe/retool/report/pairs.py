"""The same problem before and after training: first and last validation, matched by the prompt's text."""

import heapq
from collections.abc import Callable

from recipe.retool.report.run_data import Change, Pair
from recipe.retool.report.sampling import digest
from recipe.retool.report.trajectory import Trajectory


class OneValidation:
    """The answers of one validation, of which a few are kept.

    The problems kept are those whose texts have the least digests: a random choice, and the same one in every
    validation of the same problems. Of several answers to a problem one is kept, by the digest of its uid.

    Args:
        limit: Most problems kept.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept: dict[str, tuple[str, Trajectory]] = {}
        self._largest: list[tuple[int, str]] = []  # a heap with the largest digest on top
        self.rights: dict[str, tuple[float, int]] = {}

    def offer(self, one: Trajectory) -> None:
        """Take part in the counts, and perhaps in what is kept."""
        key = digest(one.text("input"))
        if one.right is not None:
            right, answers = self.rights.get(key, (0.0, 0))
            self.rights[key] = (right + one.right, answers + 1)
        if key in self._kept:
            rank = digest(one.text("uid"))
            if rank < self._kept[key][0]:
                self._kept[key] = (rank, one)
            return
        if self._limit and len(self._kept) >= self._limit:
            if -int(key, 16) <= self._largest[0][0]:
                return
            del self._kept[heapq.heappop(self._largest)[1]]
        if self._limit:
            heapq.heappush(self._largest, (-int(key, 16), key))
            self._kept[key] = (digest(one.text("uid")), one)

    def kept(self) -> dict[str, Trajectory]:
        """By digest of the problem, in the order of the digests."""
        return {key: self._kept[key][1] for key in sorted(self._kept)}


def pairs_of(first: OneValidation, last: OneValidation, room: int) -> tuple[list[Pair], int]:
    """The problems that both have, as far as their texts fit.

    Returns:
        The pairs, and the characters of room that are left.
    """
    after = last.kept()
    found: list[Pair] = []
    for key, before in first.kept().items():
        size = before.characters + after[key].characters if key in after else room + 1
        if size <= room:
            found.append(Pair(before, after[key]))
            room -= size
    return found, room


def change(first: OneValidation, last: OneValidation) -> Change:
    """Counts over all problems; better and worse are by the share of right answers."""
    both = first.rights.keys() & last.rights.keys()
    shares = [(_share(first.rights[key]), _share(last.rights[key])) for key in both]
    return Change(
        better=_count(shares, lambda before, after: after > before),
        worse=_count(shares, lambda before, after: after < before),
        same_right=_count(shares, lambda before, after: after == before and after > 0),
        same_wrong=_count(shares, lambda before, after: after == before and after == 0),
        unmatched=len(first.rights.keys() ^ last.rights.keys()),
        answers=max((count for _, count in (*first.rights.values(), *last.rights.values())), default=1),
    )


def _share(counted: tuple[float, int]) -> float:
    return counted[0] / counted[1]


def _count(shares: list[tuple[float, float]], holds: Callable[[float, float], bool]) -> int:
    return sum(holds(before, after) for before, after in shares)
