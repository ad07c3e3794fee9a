"""The loop of a fork server with namespaces: each program in a pid and a network namespace of its own."""

import ctypes
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from recipe.retool.sandbox.zygote import linux
from recipe.retool.sandbox.zygote.census import Census
from recipe.retool.sandbox.zygote.loop import CENSUS_SECONDS, Loop, Task
from recipe.retool.sandbox.zygote.messages import BROKEN, Job, ended_packet, text_packet


@dataclass
class _Run:
    """A program that runs: its process, and process 1 of its pid namespace; 0 when it is reaped."""

    number: int
    stack: linux.Stack
    net: int
    init: int
    memory_kb: int
    born: float
    child: int = 0
    status: int = 0
    too_big: bool = False


class NamespaceLoop(Loop):
    """Serves one socket.

    Args:
        sock: Where jobs come from; the end of it is the end of the server.
        proc_fd: Descriptor of a ``/proc`` in which this process is seen.
    """

    def __init__(self, sock: socket.socket, proc_fd: int) -> None:
        super().__init__(sock)
        self._self = os.pidfd_open(os.getpid())
        self._runs: dict[int, _Run] = {}
        self._processes: dict[int, _Run] = {}
        self._stacks: list[linux.Stack] = []
        self._nets: list[int] = []
        self._proc_fd = proc_fd
        self._make_init = linux.init_maker()
        # Not os.fork: what Python does after it is for programs with threads, and reads and writes too much.
        self._fork = linux.raw("fork")
        self._setns = linux.raw("setns", ctypes.c_int, ctypes.c_int)
        self._dumpable = _dumpable()
        self._census = Census(proc_fd)

    def _patience(self) -> float | None:
        return CENSUS_SECONDS if self._runs else None

    def _count(self, now: float) -> None:
        for run in self._runs.values():
            old_enough = run.child and run.init and now - run.born > CENSUS_SECONDS
            if old_enough and self._census.above(run.memory_kb, run.child, run.init):
                run.too_big = True
                os.kill(run.init, signal.SIGKILL)

    def _order(self, number: int) -> None:
        """Kill a run; it has no folder that would be left."""
        run = self._runs.get(number)
        if run is not None and run.init:
            os.kill(run.init, signal.SIGKILL)  # not reaped yet, so the number is still its own

    def _net(self) -> int:
        """Enter a network namespace that no program uses; the next child is born in it.

        They are used again: a program has no power over its namespace, and what it could leave there, its
        sockets, has died with it. To make one and to take it down costs as much as all other walls together.
        """
        while self._nets:
            net = self._nets.pop()
            entered = self._setns(net, linux.CLONE_NEWNET) == 0
            if entered and linux.read_at(self._proc_fd, "self/net/unix").count(b"\n") == 1:  # its head alone
                return net
            os.close(net)  # sockets on their way through each other outlive their processes for a while
        linux.unshare(linux.CLONE_NEWNET)
        return os.open("self/ns/net", os.O_RDONLY, dir_fd=self._proc_fd)

    def _start(self, job: Job, fds: list[int]) -> Task | None:
        net = self._net()
        stack = self._stacks.pop() if self._stacks else linux.Stack()
        run = _Run(job.number, stack, net, self._make_init(stack.top), job.memory_mb << 10, time.monotonic())
        if run.init < 0:
            error = linux.failure("clone")
            self._recycle(run)
        else:
            self._runs[job.number] = self._processes[run.init] = run
            run.child = self._fork_into(run.init)
            if run.child == 0:
                return Task(job, fds, 0, self._packet)
            if run.child > 0:
                self._processes[run.child] = run
                return None
            error = linux.failure("fork")
            run.child = 0
            del self._runs[job.number]
            os.kill(run.init, signal.SIGKILL)
        text = f"cannot start a process: {error}"
        self._sock.send(text_packet(BROKEN, job.number, text))
        return None

    def _fork_into(self, init: int) -> int:
        """Fork into the pid namespace of that process."""
        fd = os.pidfd_open(init)
        # The kernel lets nobody into the namespaces of a process that it hides, as we are hidden otherwise.
        self._dumpable(1)
        child = -1 if self._setns(fd, linux.CLONE_NEWPID) else self._fork()
        if child == 0:
            return 0
        error = ctypes.get_errno()
        self._setns(self._self, linux.CLONE_NEWPID)
        self._dumpable(0)
        os.close(fd)
        ctypes.set_errno(error)
        return child

    def _reap(self) -> None:
        """The program ended, and takes its namespace along; or the namespace did, and now all is over."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            run = self._processes.pop(pid, None)
            if run is None:  # a program can make children that count as ours: CLONE_PARENT
                continue
            if pid == run.child:
                run.child = 0
                run.status = os.waitstatus_to_exitcode(status)
                if run.init:
                    os.kill(run.init, signal.SIGKILL)
            else:
                run.init = 0
            if not run.child and not run.init:
                self._recycle(run)
                if self._runs.pop(run.number, None) is not None:
                    self._sock.send(ended_packet(run.number, run.status, run.too_big))

    def _recycle(self, run: _Run) -> None:
        self._stacks.append(run.stack)
        self._nets.append(run.net)


def _dumpable() -> Callable[[int], int]:
    prctl = linux.raw("prctl", ctypes.c_int, *[ctypes.c_ulong] * 4)
    return lambda value: prctl(linux.PR_SET_DUMPABLE, value, 0, 0, 0)
