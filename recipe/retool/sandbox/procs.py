"""Process groups, orphans and exits: the few system calls that the runner needs beyond ``subprocess``."""

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
from collections.abc import Collection, Iterable
from pathlib import Path

_PR_SET_DUMPABLE = 4
_PR_SET_CHILD_SUBREAPER = 36
_SWEEPS = 200


def adopt_orphans() -> bool:
    """Make this process the parent of its orphaned descendants, so that a daemon cannot slip away.

    Also makes its ``/proc`` entries unreadable for other processes of the same user: they hold the
    environment. Returns False where the system cannot do it (anything but Linux).
    """
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):
        return False
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    return bool(prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def kill_group(pgid: int) -> None:
    """SIGKILL a whole process group; one that is gone already is fine."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pgid, signal.SIGKILL)


def children() -> list[int]:
    """Pids of this process' children, adopted orphans included (Linux; elsewhere none)."""
    found: list[int] = []
    for task in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in task.read_text().split()]
    return found


async def kill_orphans(live: Collection[int]) -> None:
    """Kill and reap every child outside the process groups of ``live`` leaders.

    Spares this process' own group, which no snippet can join. Call it only in a process that starts
    nothing else with a group of its own.
    """
    spared = {*live, os.getpgrp()}
    for _ in range(_SWEEPS):  # killing an orphan hands its own children to us: look again
        strays = [pid for pid in children() if pid not in spared and _group_of(pid) not in spared]
        for pid in strays:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if not strays:
            return
        await asyncio.sleep(0.002)


async def reap_forgotten(every: float = 5.0) -> None:
    """Reap, until cancelled, dead children that nobody waits for.

    A fork server that is killed leaves the first process of its namespace to us, dead and with no parent
    of its own. Who starts a child here waits for it at once, so one that stays dead is nobody's.
    """
    seen: set[int] = set()
    while True:
        await asyncio.sleep(every)
        dead = {pid for pid in children() if _is_dead(pid)}
        _reap(dead & seen)
        seen = dead - seen


def reap_all() -> None:
    """Reap every dead child, whoever started it: for the end of a process."""
    _reap(children())


def _reap(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def _is_dead(pid: int) -> bool:
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return -1


async def wait_exit(process: "subprocess.Popen[bytes]") -> int:
    """Wait for a process without a thread and without caring who holds its pipes; returns the exit code."""
    code = process.poll()
    if code is None and hasattr(os, "pidfd_open"):
        await _wait_pidfd(process.pid)
        code = process.poll()
    while code is None:
        await asyncio.sleep(0.005)
        code = process.poll()
    return code


async def _wait_pidfd(pid: int) -> None:
    try:
        fd = os.pidfd_open(pid)
    except OSError:  # an old kernel or a seccomp filter: the caller polls instead
        return
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()
    loop.add_reader(fd, _settle, ended)
    try:
        await ended
    finally:
        loop.remove_reader(fd)
        os.close(fd)


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def tasks_of(uid: int) -> int:
    """Number of threads that a user has now: what RLIMIT_NPROC counts (Linux; elsewhere 0)."""
    count = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if entry.stat().st_uid == uid:
                count += (entry / "task").stat().st_nlink - 2
    return count
