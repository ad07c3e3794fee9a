"""How fast something counts up, as seen by who watches it."""

import time
from collections.abc import Callable


class Pace:
    """Seconds a count, from the first look to the last one that saw a new count.

    What passes after that is no pace: something that stands still would look slow instead of stopped.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self._last = (0.0, 0)

    def see(self, count: int) -> None:
        """Take note of the count at this moment; a count that went back begins anew."""
        if self._first is None or count < self._last[1]:
            self._first = self._last = (self._clock(), count)
        elif count > self._last[1]:
            self._last = (self._clock(), count)

    @property
    def seconds(self) -> float | None:
        """None before a second count was seen."""
        if self._first is None or self._last[1] == self._first[1]:
            return None
        return (self._last[0] - self._first[0]) / (self._last[1] - self._first[1])
