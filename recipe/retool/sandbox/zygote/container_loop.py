"""The loop of a fork server without namespaces: each program has a user of its own, who ends with it."""

import os
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from recipe.retool.sandbox.zygote import linux
from recipe.retool.sandbox.zygote.census import Census
from recipe.retool.sandbox.zygote.loop import CENSUS_SECONDS, Loop, Task
from recipe.retool.sandbox.zygote.messages import BROKEN, HAND_OUT, Job, ended_packet, text_packet
from recipe.retool.sandbox.zygote.sweep import lives, start_killer

NUMBER = struct.Struct("<I")
_AGAIN = 0.02  # seconds between two attempts to kill what is left of a program


@dataclass
class _Run:
    """A program that runs: its process, 0 when it is reaped; whether its folder will be looked into."""

    number: int
    uid: int
    child: int
    looked_into: bool
    memory_kb: int
    born: float
    status: int = 0
    too_big: bool = False
    next_kill: float = 0.0


class ContainerLoop(Loop):
    """Serves one socket.

    Args:
        sock: Where jobs come from; the end of it is the end of the server.
        uids: Users, at least two: one for killing, the others for programs.
        broom: Descriptor to which the numbers of runs are written whose folders may be removed.
        proc_fd: Descriptor of a ``/proc`` in which this process is seen.
    """

    def __init__(self, sock: socket.socket, uids: Sequence[int], broom: int, proc_fd: int) -> None:
        super().__init__(sock)
        self._runs: dict[int, _Run] = {}
        self._processes: dict[int, _Run] = {}
        self._ending: list[_Run] = []
        self._kept: set[int] = set()
        self._litter: deque[int] = deque()
        self._killer_uid, self._free = uids[0], deque(uids[1:])
        self._killer = 0
        self._broom = broom
        os.set_blocking(broom, False)
        self._fork = linux.raw("fork")
        self._census = Census(proc_fd)

    def _patience(self) -> float | None:
        self._look_at_ending()
        return _AGAIN if self._ending else CENSUS_SECONDS if self._runs else None

    def _count(self, now: float) -> None:
        orphans = self._census.orphans(self._processes) if self._runs else {}
        for run in self._runs.values():
            old_enough = run.child and now - run.born > CENSUS_SECONDS
            if old_enough and self._census.above(run.memory_kb, run.child, more=orphans.get(run.uid, ())):
                run.too_big = True
                self._order(run.number)

    def _start(self, job: Job, fds: list[int]) -> Task | None:
        if not self._free:
            why = "all users of this fork server are taken: too many programs at once"
        else:
            uid = self._free.popleft()
            child = self._fork()
            if child == 0:
                return Task(job, fds, uid, self._packet)
            if child > 0:
                run = _Run(
                    job.number, uid, child, bool(job.flags & HAND_OUT), job.memory_mb << 10, time.monotonic()
                )
                self._runs[job.number] = self._processes[child] = run
                return None
            why = f"cannot start a process: {linux.failure('fork')}"
            self._free.append(uid)
        self._sock.send(text_packet(BROKEN, job.number, why))
        return None

    def _order(self, number: int) -> None:
        run = self._runs.get(abs(number))
        if number > 0:
            if run is not None and run.child:
                os.kill(run.child, signal.SIGKILL)  # not reaped yet, so the number is still its own
                self._kill_all(run)  # at once: where it has many processes, the next turn is long in coming
        elif run is not None:
            run.looked_into = False
        elif -number in self._kept:
            self._kept.remove(-number)
            self._throw_away(-number)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self._killer:
                    self._killer = 0
                elif run := self._processes.pop(pid, None):  # else an orphan that a program left
                    run.child, run.status = 0, os.waitstatus_to_exitcode(status)
                    self._ending.append(run)  # looked at before the next wait

    def _look_at_ending(self) -> None:
        if self._ending:
            self._ending = [run for run in self._ending if not self._ends(run)]

    def _ends(self, run: _Run) -> bool:
        """True when nothing of a run is alive any more; else have it killed."""
        if not lives(run.uid):
            self._end(run)
            return True
        self._kill_all(run)
        return False

    def _kill_all(self, run: _Run) -> None:
        now = time.monotonic()
        if not self._killer and now >= run.next_kill:
            run.next_kill = now + _AGAIN
            self._killer = max(0, start_killer(self._killer_uid, run.uid))

    def _end(self, run: _Run) -> None:
        del self._runs[run.number]
        self._sock.send(ended_packet(run.number, run.status, run.too_big))
        # Used again as late as can be, for the folders of its last program may still be there.
        self._free.append(run.uid)
        if run.looked_into:
            self._kept.add(run.number)
        else:
            self._throw_away(run.number)

    def _throw_away(self, number: int) -> None:
        self._litter.append(number)
        with suppress(BlockingIOError):  # it has much to do: with the next one, then
            while self._litter:
                os.write(self._broom, NUMBER.pack(self._litter[0]))
                self._litter.popleft()
