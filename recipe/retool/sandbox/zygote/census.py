"""The memory of a program with several processes: resource limits bound each of them, not their sum.

The fork server looks at programs that live longer than a moment, ten times a second. A control group for each
would be exact, but wants root and costs more than the program (see ``cgroups``).
"""

import os
from collections.abc import Container, Iterable
from contextlib import suppress

from recipe.retool.sandbox.zygote.linux import read_at

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

    def above(self, limit_kb: int, *roots: int, more: Iterable[int] = ()) -> bool:
        """True when these processes, ``more`` and all below take more; False when the roots are all."""
        family = [*roots, *more]
        for pid in family:  # grows on the way
            family += self._children(pid)
        if len(family) == len(roots) or sum(map(self._at_most_kb, family)) <= limit_kb:
            return False
        return sum(map(self._share_kb, family)) > limit_kb

    def _at_most_kb(self, pid: int) -> int:
        """Cheap to read; what processes share is counted for each of them."""
        with suppress(OSError):
            return self._private_kb(pid) + self._fields(f"{pid}/status", b"RssShmem:")
        return 0

    def _share_kb(self, pid: int) -> int:
        """Its share: what several have counts once, in parts."""
        try:
            return self._fields(f"{pid}/smaps_rollup", b"Pss_Anon:", b"Pss_Shmem:")
        except PermissionError:
            return self._private_kb(pid)
        except OSError:
            return 0

    def _fields(self, path: str, *names: bytes) -> int:
        lines = (line.split() for line in self._read(path).splitlines())
        return sum(int(line[1]) for line in lines if line and line[0] in names)

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
        found: list[int] = []
        with suppress(OSError):
            for task in self._tasks(pid):  # a thread's children are listed with it
                found += map(int, self._read(f"{pid}/task/{task}/children").split())
        return found

    def _tasks(self, pid: int) -> list[str]:
        fd = os.open(f"{pid}/task", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._proc_fd)
        try:
            return os.listdir(fd)
        finally:
            os.close(fd)

    def _read(self, path: str) -> bytes:
        return read_at(self._proc_fd, path)
