"""A bound on calls in flight that all processes of a user on one machine share, whoever dies.

A slot is one byte of a file, held by a POSIX record lock. The kernel frees the locks of a process that
ends, by SIGKILL too, and a forked child does not inherit them (with flock it would, and a slot could stay
taken as long as the child lives). Such locks belong to the process, so slots held here are noted as well.
"""

import asyncio
import fcntl
import hashlib
import os
import random
import stat
import tempfile
import threading
from pathlib import Path

from recipe.retool.errors import ConfigError

_LEAST_POLL, _MOST_POLL = 0.002, 0.010  # seconds; one poll of 64 taken slots is some 0.15 ms of a core


class _SlotFile:
    """The file of one group of processes, opened once in each: closing it anywhere frees all its locks."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        self.forget()

    def forget(self) -> None:
        self.held: set[int] = set()
        self.lock = threading.Lock()

    def take(self, count: int) -> int | None:
        with self.lock:
            first = random.randrange(count)
            for slot in (*range(first, count), *range(first)):
                if slot not in self.held and self._locked(slot):
                    self.held.add(slot)
                    return slot
        return None

    def _locked(self, slot: int) -> bool:
        try:
            fcntl.lockf(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, slot)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def give(self, slot: int) -> None:
        with self.lock:
            if slot in self.held:  # not after a fork: then it is the parent's
                fcntl.lockf(self.fd, fcntl.LOCK_UN, 1, slot)
                self.held.discard(slot)


_files: dict[Path, _SlotFile] = {}
_files_lock = threading.Lock()


def _forget_all() -> None:
    global _files_lock
    _files_lock = threading.Lock()
    for file in _files.values():
        file.forget()


os.register_at_fork(after_in_child=_forget_all)


class NodeSlots:
    """Slots shared by all processes that name the same group.

    Args:
        count: How many there are; processes should agree on it.
        group: What the slots are for.
        folder: Where the file lies; None: a private folder below the temporary folder of the system.

    Raises:
        ConfigError: The count cannot work, or the folder cannot be used or is another user's.
    """

    def __init__(self, count: int, group: str, folder: Path | None = None) -> None:
        if count < 1:
            raise ConfigError(f"sandbox calls in flight per node: {count} must be 1 or more (0: no limit)")
        self._count = count
        folder = folder or Path(tempfile.gettempdir()) / f"retool-slots-{os.getuid()}"
        path = folder / hashlib.sha256(group.encode()).hexdigest()[:16]
        try:
            _make_private(folder)
            with _files_lock:
                if path not in _files:
                    _files[path] = _SlotFile(path)
                self._file = _files[path]
        except OSError as error:
            raise ConfigError(f"{folder}: cannot hold the slots of this machine: {error}") from error

    async def acquire(self, queue: asyncio.Lock) -> int:
        """A slot, once one is free. Callers with the same ``queue`` get theirs in the order of asking."""
        slot = None if queue.locked() else self.take()
        if slot is not None:
            return slot
        async with queue:  # one asks for all, or the polls of many would cost more than the calls
            while (slot := self.take()) is None:
                await asyncio.sleep(random.uniform(_LEAST_POLL, _MOST_POLL))
        return slot

    def take(self) -> int | None:
        """A slot if one is free; never waits."""
        return self._file.take(self._count)

    def release(self, slot: int) -> None:
        """Give a slot back."""
        self._file.give(slot)


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise PermissionError("not a folder that this user alone may write to")
