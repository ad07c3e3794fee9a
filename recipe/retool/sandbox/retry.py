"""When a client asks again: exponential back-off with jitter, the server's own wish, one deadline."""

import random
import time

from recipe.retool.sandbox.wire import backoff

_MOST_SECONDS = 3600.0  # beyond any deadline, and small enough to reckon with


class Tries:
    """The tries of one call.

    A try that failed counts against ``retries``. A full server that says when to come back (HTTP 503
    with Retry-After) has not failed: it is asked until the deadline, unless ``retries`` is 0.

    Args:
        retries: Further tries after failed ones.
        seconds: The deadline of the whole call, from now.
    """

    def __init__(self, retries: int, seconds: float) -> None:
        self._retries = retries
        self._end = time.monotonic() + seconds
        self._made = 0
        self._failed = 0

    @property
    def left(self) -> float:
        """Seconds until the deadline."""
        return self._end - time.monotonic()

    def delay(self, retry_after: str | None = None) -> float | None:
        """Seconds to wait before the next try; None when there is no further one."""
        if retry_after is None or self._retries == 0:
            self._failed += 1
        wait = retry_delay(self._made, retry_after)
        self._made += 1
        return wait if self._failed <= self._retries and wait < self.left else None


def retry_delay(attempt: int, retry_after: str | None) -> float:
    """The back-off, or what the server asks for where that is longer, with up to a quarter on top.

    Callers that were turned away together must not come back together. Only seconds are understood;
    the header's other form, a date, is left to the back-off.
    """
    wait = backoff(attempt)
    try:
        asked = float(retry_after or 0)
    except ValueError:
        return wait
    if not asked > wait:  # nan too
        return wait
    return min(asked, _MOST_SECONDS) * random.uniform(1.0, 1.25)
