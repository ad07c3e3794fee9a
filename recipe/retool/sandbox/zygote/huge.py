"""Huge pages for the fork server's heap: a fork then copies one entry where it would copy 512."""

import ctypes
import mmap
import re
from contextlib import suppress

_HUGE = 1 << 21
_MADV_COLLAPSE = 25  # Linux 6.1
_WRITABLE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ \S+\s*(\[heap\])?$")


def collapse() -> int:
    """Gather this process's heap in huge pages where the kernel can; returns the MiB so gathered."""
    if mmap.PAGESIZE != 4096:  # the size above belongs to pages of 4 KiB
        return 0
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    gathered = 0
    for start, end in _heap():
        for place in range(-(-start // _HUGE) * _HUGE, end - _HUGE + 1, _HUGE):
            gathered += madvise(place, _HUGE, _MADV_COLLAPSE) == 0
    return gathered * _HUGE >> 20


def _heap() -> list[tuple[int, int]]:
    found = []
    with suppress(OSError), open("/proc/self/maps", encoding="ascii") as file:
        for line in file:
            match = _WRITABLE.match(line.rstrip())
            if match:
                found.append((int(match[1], 16), int(match[2], 16)))
    return found
