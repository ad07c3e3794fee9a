"""Nothing of a user id is left alive: how to tell, and how to see to it, without a pid namespace."""

import os
import signal
import time
from collections.abc import Iterable
from contextlib import suppress

from recipe.retool.sandbox.zygote import linux

_PAUSE = 0.005


def lives(uid: int) -> bool:
    """True while a process of that user is there, be it a dead one that nobody has reaped."""
    try:
        os.getpriority(os.PRIO_USER, uid)
    except ProcessLookupError:
        return False
    return True


def start_killer(killer: int, uid: int) -> int:
    """Fork a process that kills all processes of a user with one call; gives its pid, or -1.

    The kernel sends the signals while no process can fork, so a fork bomb cannot outrun it. The process
    keeps ``killer``, a user that no program has, as its real user: those it kills cannot kill it first.
    """
    pid = linux.raw("fork")()
    if pid:
        return pid
    try:
        os.setresuid(killer, uid, killer)
        if os.getresuid() == (killer, uid, killer) and killer > 0 and uid > 0:
            os.kill(-1, signal.SIGKILL)
    finally:
        os._exit(0)


def sweep(uids: Iterable[int], killer: int, seconds: float) -> list[int]:
    """Kill all processes of these users and reap those that are our children; the users that are then free.

    Args:
        uids: The users.
        killer: A user that nobody else has.
        seconds: Most time to take.
    """
    until = time.monotonic() + seconds
    left = [uid for uid in uids if lives(uid)]
    free = [uid for uid in uids if uid not in left]
    while left and time.monotonic() < until:
        for uid in left:
            _wait_for(start_killer(killer, uid))  # one at a time: they share a user that they could kill
        time.sleep(_PAUSE)
        _reap_dead()
        free += [uid for uid in left if not lives(uid)]
        left = [uid for uid in left if lives(uid)]
    return free


def _wait_for(pid: int) -> None:
    with suppress(ChildProcessError):
        if pid > 0:
            os.waitpid(pid, 0)


def _reap_dead() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
