"""How long a client waits before it asks again: exponential back-off with jitter, or the server's wish."""

import random

from recipe.retool.sandbox.wire import backoff

_MOST_SECONDS = 3600.0  # beyond any deadline, and small enough to reckon with


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
