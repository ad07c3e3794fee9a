"""User ids for programs: claimed for one fork server at a time, also among several servers on one host."""

import pwd
import socket
from collections.abc import Iterator, Sequence
from contextlib import suppress

FIRST, LAST = 62000, 65533  # above the accounts of people and services, below nobody and within 16 bits
BLOCK = 64


class Claim:
    """Users that nobody else takes while one descriptor of ``locks`` is open, here or in a child process.

    Attributes:
        uids: The users; empty when all are taken.
    """

    def __init__(self, blocks: int) -> None:
        self._sockets: list[socket.socket] = []
        self.uids: tuple[int, ...] = ()
        for first in range(FIRST, LAST + 2 - BLOCK, BLOCK):
            if len(self._sockets) < blocks and (lock := _lock(first)):
                self._sockets.append(lock)
                self.uids += tuple(_unknown(range(first, first + BLOCK)))

    @property
    def locks(self) -> Sequence[int]:
        """Descriptors that keep the claim; a child process that has them keeps it too."""
        return [lock.fileno() for lock in self._sockets]

    def close(self) -> None:
        """Let go, as far as this process is concerned."""
        for lock in self._sockets:
            lock.close()
        self._sockets.clear()


def _lock(first: int) -> socket.socket | None:
    """A name that only one socket can have, and that goes with the last process that holds it."""
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0retool-sandbox-uids-{first}")
    except OSError:
        lock.close()
        return None
    return lock


def _unknown(uids: Sequence[int]) -> Iterator[int]:
    for uid in uids:
        with suppress(KeyError):
            pwd.getpwuid(uid)
            continue
        yield uid
