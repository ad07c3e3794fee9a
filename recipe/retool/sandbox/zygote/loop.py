"""The fork server's loop: starts programs, reaps them, kills them on demand. One thread, no waiting."""

import os
import select
import socket
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass

from recipe.retool.sandbox.zygote import linux
from recipe.retool.sandbox.zygote.messages import PACKET, Job, command_of, receive

CENSUS_SECONDS = 0.1
_COUNT_SHARE = 20  # one part in so many of a core at most is spent on counting


@dataclass(frozen=True)
class Task:
    """What a forked child has to do.

    Attributes:
        job: The program.
        fds: Its descriptors.
        own: Its user id, where programs have one each; else 0.
        packet: What the server sent, the program in it.
    """

    job: Job
    fds: list[int]
    own: int
    packet: memoryview


class Loop(ABC):
    """Serves one socket; how a program is started and ended is for the kinds of walls to say.

    Args:
        sock: Where jobs come from; the end of it is the end of the server.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray(PACKET)
        self._children = linux.child_watch()
        self._poll = select.epoll()
        self._poll.register(sock, select.EPOLLIN)
        self._poll.register(self._children, select.EPOLLIN)
        self._next_count = 0.0
        self._packet = memoryview(self._buffer)

    def serve(self) -> Task | None:
        """Loop until the server has gone (None). In a forked child it returns what to do, at once."""
        try:
            return self._serve()
        except (EOFError, ConnectionError):
            return None

    def _serve(self) -> Task:
        while True:
            now = time.monotonic()
            if now >= self._next_count:
                self._count(now)
                spent = time.monotonic() - now  # hundreds of programs take long to look at
                self._next_count = now + max(CENSUS_SECONDS, _COUNT_SHARE * spent)
            for fd, _ in self._poll.poll(self._patience()):
                if fd == self._children:
                    os.read(fd, 4096)
                    self._reap()
                    continue
                size, fds = receive(self._sock, self._buffer)
                self._packet = memoryview(self._buffer)[:size]
                command = command_of(self._packet)
                if isinstance(command, int):
                    self._order(command)
                elif task := self._start(command, fds):
                    return task
                else:
                    for one in fds:
                        os.close(one)
                self._packet[:] = bytes(size)  # no later program may find it in its memory

    @abstractmethod
    def _patience(self) -> float | None:
        """Most seconds to wait for the next event."""

    @abstractmethod
    def _count(self, now: float) -> None:
        """End programs whose processes together take more than they may; called now and then."""

    @abstractmethod
    def _start(self, job: Job, fds: list[int]) -> Task | None:
        """Fork; the task in the child, None in the fork server. On failure nothing is left behind."""

    @abstractmethod
    def _order(self, number: int) -> None:
        """Kill that run; for ``-number``, forget its folder. Unknown numbers are fine."""

    @abstractmethod
    def _reap(self) -> None:
        """See which processes have ended, and which runs with them."""
