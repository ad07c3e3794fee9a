"""The memory of a program with several processes: resource limits bound each of them, not their sum.

The fork server looks at programs that live longer than a moment, ten times a second. A control group for each
would be exact, but wants root and costs more than the program (see ``cgroups``).
"""

import os
from collections.abc import Container, Iterable
from contextlib import suppress

_PAGE_KB = os.sysconf("SC_PAGE_SIZE") >> 10
_START_OF_STACK = 27  # in /proc/PID/stat, from 0; the same after a fork, another after exec


class Census:
    """Counts the memory of process families.

    Args:
        proc_fd: Descriptor of a ``/proc`` in which this process and its children are seen.
    """

    def __init__(self, proc_fd: int) -> None:
        self._proc_fd = proc_fd
        self._stack = self._stat("self")[_START_OF_STACK]
        # What a child has from us is there only once.
        self._ours = self._own_kb("self")

    def orphans(self, known: Container[int]) -> dict[int, list[int]]:
        """Children of ours that are not ``known``: left to us by programs; by user."""
        found: dict[int, list[int]] = {}
        for pid in self._children(os.getpid()):
            if pid not in known:
                with suppress(OSError, IndexError, ValueError):
                    user = self._read(f"{pid}/status").partition(b"\nUid:")[2].split()[0]
                    found.setdefault(int(user), []).append(pid)
        return found

    def total_kb(self, *roots: int, more: Iterable[int] = ()) -> int:
        """Private memory in KiB of these processes, of ``more`` and all below; 0 when the roots are all."""
        family = [*roots, *more]
        for pid in family:  # grows on the way
            family += self._children(pid)
        return sum(map(self._private_kb, family)) if len(family) > len(roots) else 0

    def _private_kb(self, pid: int) -> int:
        with suppress(OSError, IndexError):  # it has just ended
            # 0: the kernel does not tell us, who are not mighty enough; most are forked.
            forked = self._stat(str(pid))[_START_OF_STACK] in (self._stack, b"0")
            return max(0, self._own_kb(str(pid)) - (self._ours if forked else 0))
        return 0

    def _own_kb(self, name: str) -> int:
        _, resident, shared, *_ = self._read(f"{name}/statm").split()
        return (int(resident) - int(shared)) * _PAGE_KB

    def _stat(self, name: str) -> list[bytes]:
        head, _, tail = self._read(f"{name}/stat").rpartition(b")")
        return [head, b"", *tail.split()]

    def _children(self, pid: int) -> list[int]:
        with suppress(OSError):
            return [int(child) for child in self._read(f"{pid}/task/{pid}/children").split()]
        return []

    def _read(self, path: str) -> bytes:
        fd = os.open(path, os.O_RDONLY, dir_fd=self._proc_fd)
        try:
            return os.read(fd, 65536)
        finally:
            os.close(fd)
