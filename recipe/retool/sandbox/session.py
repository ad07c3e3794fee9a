"""A session: a program that lives on between blocks of code, and shares its variables between them.

The program (``blocks.py``) has a socket to the server, and the blocks run in the same process. A block can
therefore write answers of its own making, or none. What holds all the same: an answer is five bytes with the
number of the block that runs, and anything else, or one when nothing runs, ends the session; output is read
from pipes of this session, never beyond what a block may print; time is taken here, on our clock. So a forged
answer tells its own session a wrong exit code or end of a block, and nobody else anything.
"""

import asyncio
import os
import socket
import struct
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.ending import flood_note, result_of
from recipe.retool.sandbox.limits import Limits
from recipe.retool.sandbox.output import CappedOutput, PipeReader
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus

_BLOCK, _ANSWER = struct.Struct("<II"), struct.Struct("<IB")  # as in blocks.py
_EXITED = "its program has ended"


@dataclass(frozen=True)
class SessionRequest:
    """What a session is to have.

    Attributes:
        seconds: Its life on the clock, which also bounds its CPU time.
        memory_limit_mb: As of a :class:`recipe.retool.sandbox.protocol.RunRequest`.
    """

    seconds: float
    memory_limit_mb: int = -1


@dataclass(frozen=True)
class End:
    """How the program of a session ended: exit code, negative for a signal; what to add to standard error."""

    code: int
    note: str = ""


class Process(Protocol):
    """The program of a session, with all that it started."""

    @property
    def ended(self) -> "asyncio.Future[End]":
        """Set when nothing of it is alive; SandboxError when the sandbox has lost it."""
        ...

    def kill(self) -> None:
        """Have it ended."""
        ...


class Session(Protocol):
    """Runs blocks of code, one at a time."""

    @property
    def ended(self) -> "asyncio.Future[End]":
        """Set when nothing of it is alive any more."""
        ...

    @property
    def lost(self) -> str:
        """Why it cannot go on; empty while it can."""
        ...

    async def run(self, code: str, timeout: float) -> ExecutionResult:
        """Run one block; a block that exceeds a limit ends the session."""
        ...

    async def close(self) -> None:
        """Kill it; nothing of it is alive afterwards. A second call does nothing."""
        ...


def program(control: int) -> str:
    """Source of the program whose socket has that number."""
    text = Path(__file__).with_name("blocks.py").read_text(encoding="utf-8")
    return f"{text}\n\nmain({control})\n"


class ProgramSession:
    """A :class:`Session` with a program. Make it inside the event loop that uses it.

    Args:
        limits: Bounds of each block.

    Attributes:
        theirs: The program's descriptors: standard output, standard error, socket.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._ours, theirs = socket.socketpair()
        self._ours.setblocking(False)
        self.theirs: list[int] = []
        self._readers: list[PipeReader] = []
        self._outputs: list[CappedOutput] = []
        for _ in range(2):
            read_end, write_end = os.pipe()
            os.fchmod(write_end, 0o666)  # a program may open /dev/stdout, and is another user
            self.theirs.append(write_end)
            output = CappedOutput(limits.output_bytes)
            self._outputs.append(output)
            self._readers.append(PipeReader(read_end, output, limits.flood_bytes, self._flood))
        self.theirs.append(theirs.detach())
        self._process: Process | None = None
        self._number = 0
        self._answer: asyncio.Future[int] | None = None
        self._flooded = False
        self.lost = ""

    @property
    def ended(self) -> "asyncio.Future[End]":
        """Set when nothing of the program is alive any more."""
        return self._running().ended

    def _running(self) -> Process:
        if self._process is None:
            raise SandboxError("a session without a program")
        return self._process

    def attach(self, process: Process) -> None:
        """Begin: ``process`` has got the descriptors."""
        self._process = process
        self._close_theirs()
        self._loop.add_reader(self._ours, self._read)
        process.ended.add_done_callback(lambda _: self._give_up(_EXITED))

    def discard(self) -> None:
        """Close everything of a session."""
        self._close_theirs()
        self._stop_reading()
        self._ours.close()
        for reader in self._readers:
            reader.close()

    async def run(self, code: str, timeout: float) -> ExecutionResult:
        """Run one block. Cancelling it ends the session."""
        started = time.monotonic()
        process = self._running()
        self._number += 1
        answer = self._answer = self._loop.create_future()
        source = code.encode("utf-8", "replace")
        packet = _BLOCK.pack(self._number, len(source)) + source
        sending = asyncio.ensure_future(self._loop.sock_sendall(self._ours, packet))
        sending.add_done_callback(_seen)
        try:
            waited = self._limits.timeout(timeout)
            await asyncio.wait([answer, process.ended], timeout=waited, return_when=asyncio.FIRST_COMPLETED)
            in_time = answer.done() or process.ended.done()
            if not answer.done():
                await self._end("the time limit of a block was reached")
        except asyncio.CancelledError:
            await self.close()
            raise
        finally:
            sending.cancel()
            self._answer = None
        return self._result(answer, in_time, time.monotonic() - started)

    def _result(self, answer: "asyncio.Future[int]", in_time: bool, seconds: float) -> ExecutionResult:
        stdout, stderr = self._texts()
        if answer.done():
            code = answer.result()
            if any(reader.finished.done() for reader in self._readers):
                self._kill("it closed its output")
            return result_of(code, True, stdout, stderr, seconds)
        try:
            end = self._running().ended.result()
        except SandboxError as error:
            if not in_time:  # the block's own fault, even when killing it took the fork server along
                return ExecutionResult(ExecutionStatus.TIMEOUT, stdout, stderr, None, seconds)
            return ExecutionResult(ExecutionStatus.UNAVAILABLE, message=str(error), seconds=seconds)
        stderr += flood_note(self._limits.flood_bytes) if self._flooded else end.note
        return result_of(end.code, in_time, stdout, stderr, seconds, self._flooded)

    def _texts(self) -> tuple[str, str]:
        """What was printed since the last time."""
        texts = []
        for number, reader in enumerate(self._readers):
            output = CappedOutput(self._limits.output_bytes)
            reader.switch(output)
            texts.append(self._outputs[number].text())
            self._outputs[number] = output
        return texts[0], texts[1]

    def _read(self) -> None:
        """Take an answer. Nothing else may come, and that only while a block waits for it."""
        try:
            packet = self._ours.recv(4 * _ANSWER.size)
        except BlockingIOError:
            return
        except OSError:
            packet = b""
        answer = self._answer
        right = packet[:4] == self._number.to_bytes(4, "little") and len(packet) == _ANSWER.size
        if right and answer is not None and not answer.done():
            answer.set_result(_ANSWER.unpack(packet)[1])
        else:
            self._kill("it answered out of turn" if packet else "its program closed its socket")

    def _flood(self) -> None:
        self._flooded = True
        self._kill("it printed too much")

    def _kill(self, why: str) -> None:
        self._stop_reading()
        self._give_up(why)
        self._running().kill()

    def _stop_reading(self) -> None:
        if self._ours.fileno() >= 0:
            self._loop.remove_reader(self._ours)

    def _give_up(self, why: str) -> None:
        self.lost = self.lost or why

    async def _end(self, why: str) -> None:
        """Kill it, and wait until nothing of it is alive."""
        process = self._running()
        if not process.ended.done():
            self._kill(why)
            await asyncio.shield(asyncio.wait([process.ended]))
        self._give_up(_EXITED)

    async def close(self) -> None:
        """Kill the program; nothing of it is alive afterwards."""
        try:
            await self._end("it was closed")
        finally:
            self.discard()

    def _close_theirs(self) -> None:
        while self.theirs:
            os.close(self.theirs.pop())


def _seen(future: "asyncio.Future[None]") -> None:
    if not future.cancelled():
        future.exception()  # a program that does not listen is seen elsewhere
