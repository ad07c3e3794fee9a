"""One fork server as its server sees it: start, jobs, answers, death."""

import asyncio
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recipe.retool.sandbox.limits import NOBODY, Interpreter, environment
from recipe.retool.sandbox.zygote.messages import (
    BROKEN,
    ENDED,
    FAILED,
    FOLDER,
    PACKET,
    READY,
    Job,
    Report,
    Setup,
    forget_packet,
    job_packet,
    kill_packet,
    receive,
    report_of,
    setup_packet,
)
from recipe.retool.sandbox.zygote.tree import WORK
from recipe.retool.sandbox.zygote.uids import Claim

logger = logging.getLogger(__name__)
_MODULE = "recipe.retool.sandbox.zygote.main"
_ROOT = Path(__file__).resolve().parents[4]
_SEND_TRIES, _SEND_SECONDS = 1000, 0.002
_END_SECONDS = 2.0


class ZygoteLost(Exception):
    """The fork server died, or does not do what it is told. Nothing is known of its programs."""


class BrokenRun(Exception):
    """The fork server could not start that one program, or one of its walls does not stand."""


class Zygote:
    """A running fork server. Make it inside the event loop that uses it.

    Args:
        interpreter: Python of the programs.
        bpf: Compiled seccomp filter; empty for none.
        preload: Modules to import once.
        scratch_mb: Most MiB in files of one program.
        groups: Descriptors of the control groups to enter.
        claim: Without namespaces: users for its programs; let go when it ends.
        folder: Without namespaces: a folder for it to make.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        bpf: bytes,
        preload: tuple[str, ...],
        scratch_mb: int,
        groups: Sequence[int] = (),
        claim: Claim | None = None,
        folder: str = "",
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock.setblocking(False)
        self._claim = claim
        uids, locks = (claim.uids, claim.locks) if claim else ((), ())
        setup = Setup(
            interpreter.path,
            interpreter.prefixes,
            preload,
            bpf.hex(),
            NOBODY,
            scratch_mb,
            uids,
            len(locks),
            folder,
        )
        try:
            socket.send_fds(self._sock, [setup_packet(setup)], [*groups, *locks])
            self._process = _start(interpreter.executable, theirs)
        except OSError:
            self._sock.close()
            raise
        finally:
            theirs.close()
        # Gives its address space in MiB once it can fork.
        self.ready: asyncio.Future[int] = self._loop.create_future()
        self.ready.add_done_callback(_seen)
        self._calls: dict[int, asyncio.Future[Report]] = {}
        self._folders: dict[int, int] = {}
        self._buffer = bytearray(PACKET)
        self.lost = ""
        self._loop.add_reader(self._sock, self._read)

    @property
    def pid(self) -> int:
        """Process id of the outer process."""
        return self._process.pid

    @property
    def running(self) -> int:
        """Number of programs that run."""
        return len(self._calls)

    async def submit(self, job: Job, code: bytes, fds: list[int]) -> "asyncio.Future[Report]":
        """Start a program; the future gives the report of its end, BrokenRun or ZygoteLost."""
        call: asyncio.Future[Report] = self._loop.create_future()
        call.add_done_callback(_seen)
        self._calls[job.number] = call
        try:
            await self._send(job_packet(job, code), fds)
        except BaseException:
            self._calls.pop(job.number, None)
            raise
        return call

    def folder(self, number: int) -> int:
        """The working directory of a run that asked for it: a descriptor, now the caller's; else -1."""
        return self._folders.pop(number, -1)

    def kill(self, number: int) -> None:
        """Have a program and all that it started killed; its future is set when that is done."""
        if number in self._calls:
            self._order(kill_packet(number), self.kill, number)

    def forget(self, number: int) -> None:
        """The folder of a run that asked for it is no longer needed."""
        if (folder := self.folder(number)) >= 0:
            os.close(folder)
        self._order(forget_packet(number), self.forget, number)

    def _order(self, packet: bytes, again: Callable[[int], None], number: int) -> None:
        if self.lost:
            return
        try:
            self._sock.send(packet)
        except BlockingIOError:  # it has much to read
            self._loop.call_later(_SEND_SECONDS, again, number)
        except OSError as error:
            self.close(f"it does not take orders: {error}")

    def close(self, reason: str = "it was closed") -> None:
        """Kill the fork server and every program; a second call does nothing."""
        if self.lost:
            return
        self.lost = reason
        self._loop.remove_reader(self._sock)
        self._sock.close()
        # It takes process 1 of its namespace along, and that all others. SIGCONT: it may have been stopped.
        for number in (signal.SIGTERM, signal.SIGCONT):
            self._process.send_signal(number)
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._claim is not None:
            self._claim.close()
        error = ZygoteLost(f"the fork server is lost: {reason}")
        futures: list[asyncio.Future[Any]] = [self.ready, *self._calls.values()]
        for future in futures:
            if not future.done():
                future.set_exception(error)
        self._calls.clear()
        for fd in self._folders.values():
            os.close(fd)
        self._folders.clear()

    async def _send(self, packet: bytes, fds: Sequence[int] = ()) -> None:
        for _ in range(_SEND_TRIES):
            if self.lost:
                break
            try:
                socket.send_fds(self._sock, [packet], fds)
                return
            except BlockingIOError:
                await asyncio.sleep(_SEND_SECONDS)
            except OSError as error:
                self.close(f"it does not take jobs: {error}")
        self.close("it does not take jobs")
        raise ZygoteLost(f"the fork server is lost: {self.lost}")

    def _read(self) -> None:
        try:
            size, fds = receive(self._sock, self._buffer)
            self._take(report_of(bytes(self._buffer[:size])), fds)
        except BlockingIOError:
            return
        except (EOFError, OSError, ValueError, struct.error):
            return self.close("it died")

    def _take(self, report: Report, fds: list[int]) -> None:
        kind, number = report.kind, report.number
        if kind == FOLDER and number in self._calls:
            self._folders[number] = fds.pop()
        for fd in fds:  # it has no other to give
            os.close(fd)
        if kind == READY:
            self.ready.set_result(int(report.text))
        elif kind == FAILED:
            self.close(report.text)
        elif kind == BROKEN:
            self._settle(number, BrokenRun(report.text))
        elif kind == ENDED:
            self._settle(number, report)

    def _settle(self, number: int, end: Report | BrokenRun) -> None:
        call = self._calls.pop(number, None)
        if call is not None and not call.done():
            if isinstance(end, BrokenRun):
                call.set_exception(end)
            else:
                call.set_result(end)


def _start(python: str, sock: socket.socket) -> "subprocess.Popen[bytes]":
    # Nothing of the server's environment but PATH, LD_LIBRARY_PATH and TZ.
    # LD_BIND_NOW: what is bound late is bound again in each child, in a page that has to be copied for it.
    env = {**environment(WORK, os.environ.items()), "PYTHONPATH": str(_ROOT), "LD_BIND_NOW": "1"}
    fd = sock.fileno()
    return subprocess.Popen(
        [python, "-s", "-S", "-B", "-m", _MODULE, str(fd)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=None if sys.stderr is None else 2,
        env=env,
        cwd="/",
        pass_fds=[fd],
        start_new_session=True,
    )


def _seen(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()  # nobody may be waiting any more: no warning then
