"""Numbers out of values of unknown type (Python, numpy, None, text): never an exception."""

import math
from typing import Any


def as_number(value: Any) -> float | None:
    """Return ``value`` as a finite float; None for anything that is not one."""
    if isinstance(value, (str, bytes)):
        return None  # "4" where a count belongs is somebody's mistake, not a count
    try:
        number = float(value)
    except Exception:  # numpy arrays, tensors and odd objects raise what they like
        return None
    return number if math.isfinite(number) else None
