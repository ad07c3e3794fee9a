"""The fork server's loop: starts programs, reaps them, kills them on demand. One thread, no waiting."""

import os
import select
import signal
import socket
from dataclasses import dataclass
from typing import Any

from recipe.retool.sandbox.zygote import linux
from recipe.retool.sandbox.zygote.messages import Job, job_from, receive, send


@dataclass
class _Run:
    """A program that runs: its process, and process 1 of its pid namespace."""

    number: int
    stack: linux.Stack
    init: int
    init_fd: int
    child: int = 0
    child_fd: int = -1
    status: int = 0
    error: str = ""


class Loop:
    """Serves one socket.

    Args:
        sock: Where jobs come from; the end of it is the end of the server.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._poll = select.epoll()
        self._poll.register(sock, select.EPOLLIN)
        self._own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
        self._runs: dict[int, _Run] = {}
        self._watched: dict[int, _Run] = {}
        self._stacks: list[linux.Stack] = []

    def serve(self) -> tuple[Job, list[int]] | None:
        """Loop until the server has gone (None). In a forked child it returns the job to do, at once."""
        while True:
            for fd, _ in self._poll.poll():
                if fd != self._sock.fileno():
                    self._ended(self._watched[fd], fd)
                    continue
                try:
                    fields, fds = receive(self._sock)
                except (EOFError, ConnectionError):
                    return None
                job = self._command(fields, fds)
                if job is not None:
                    return job, fds

    def _command(self, fields: dict[str, Any], fds: list[int]) -> Job | None:
        if "kill" in fields:
            run = self._runs.get(fields["kill"])
            if run is not None:
                os.kill(run.init, signal.SIGKILL)  # not reaped yet, so the number is still its own
            return None
        job = job_from(fields)
        try:
            if self._start(job):
                return job
        except OSError as error:
            send(self._sock, {"number": job.number, "error": f"cannot start a process: {error}"})
        for fd in fds:
            os.close(fd)
        return None

    def _start(self, job: Job) -> bool:
        """Fork; True in the child. On failure nothing is left behind."""
        stack = self._stacks.pop() if self._stacks else linux.Stack()
        init = linux.clone_init(stack)
        run = _Run(job.number, stack, init, os.pidfd_open(init))
        try:
            _enter(run.init_fd)
            try:
                run.child = os.fork()
            finally:
                if run.child or os.getpid() == 1:
                    linux.setns(self._own_namespace, linux.CLONE_NEWPID)
            if run.child == 0:
                return True
            run.child_fd = os.pidfd_open(run.child)
        except OSError:
            os.kill(init, signal.SIGKILL)
            if run.child:
                os.waitpid(run.child, 0)
            os.waitpid(init, 0)
            os.close(run.init_fd)
            raise
        self._runs[job.number] = run
        for fd in (run.child_fd, run.init_fd):
            self._watched[fd] = run
            self._poll.register(fd, select.EPOLLIN)
        return False

    def _ended(self, run: _Run, fd: int) -> None:
        """The program ended, and takes its namespace along; or the namespace did, and now all is over."""
        self._poll.unregister(fd)
        del self._watched[fd]
        os.close(fd)
        if fd == run.child_fd:
            run.child_fd = -1
            run.status = os.waitstatus_to_exitcode(os.waitpid(run.child, 0)[1])
            if run.init_fd >= 0:
                os.kill(run.init, signal.SIGKILL)
        else:
            run.init_fd = -1
            os.waitpid(run.init, 0)
            self._stacks.append(run.stack)
        if run.child_fd < 0 and run.init_fd < 0:
            del self._runs[run.number]
            send(self._sock, {"number": run.number, "status": run.status})


def _enter(init_fd: int) -> None:
    """Have the next child born in the pid namespace of that process."""
    # The kernel lets nobody into the namespaces of a process that it hides, as we are hidden otherwise.
    linux.prctl(linux.PR_SET_DUMPABLE, 1)
    try:
        linux.setns(init_fd, linux.CLONE_NEWPID)
    finally:
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
