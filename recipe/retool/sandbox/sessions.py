"""The sessions of a server: how many there may be, what ends them, and that nothing of one is left."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from recipe.retool.sandbox.admission import BusyError
from recipe.retool.sandbox.metrics import head
from recipe.retool.sandbox.protocol import Runner
from recipe.retool.sandbox.session import Session, SessionRequest
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus

RETRY_SECONDS = 2  # sessions are long: who is turned away need not come back at once
# What ended sessions: the caller, two clocks, a limit that a block met, its program, a caller who hung up in
# the middle of a block, the end of the server.
CLOSED, IDLE, BUDGET, LIMIT = "closed", "idle", "budget", "limit"
EXITED, GONE, STOPPED = "exited", "gone", "stopped"
_REASONS = (CLOSED, IDLE, BUDGET, LIMIT, EXITED, GONE, STOPPED)
_AT_A_LIMIT = (ExecutionStatus.TIMEOUT, ExecutionStatus.OUTPUT_LIMIT)


@runtime_checkable
class SessionRunner(Protocol):
    """A runner that has sessions."""

    async def open_session(self, request: SessionRequest) -> Session:
        """Start one; SandboxError when the sandbox cannot."""
        ...


class ProgramRunner(Runner, SessionRunner, Protocol):
    """A runner of programs and of sessions."""


@dataclass(frozen=True)
class SessionLimits:
    """Bounds of a server's sessions.

    Attributes:
        most: How many there may be at once.
        seconds: Longest life of one on the clock, and its life when the request does not say.
        idle_seconds: Longest time between two blocks, and the default as well.
    """

    most: int = 512
    seconds: float = 3600.0
    idle_seconds: float = 600.0


class SessionGone(Exception):
    """There is no such session: it has ended, or never was."""


class SessionBusy(Exception):
    """A block of that session runs."""


@dataclass
class _Held:
    session: Session
    until: float
    idle_seconds: float
    budget: asyncio.TimerHandle
    idle: asyncio.TimerHandle | None = None
    busy: bool = False
    closing: "asyncio.Task[None] | None" = None


class Sessions:
    """The sessions of one server; belongs to one event loop.

    Args:
        runner: Starts their programs.
        limits: See :class:`SessionLimits`.
    """

    def __init__(self, runner: SessionRunner, limits: SessionLimits) -> None:
        self._runner, self.limits = runner, limits
        self._held: dict[str, _Held] = {}
        self._opening = 0
        self._ends: set[asyncio.Task[None]] = set()
        self._counts: Counter[str] = Counter()
        self._stopped = False

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._held) + self._opening + len(self._ends)

    @property
    def full(self) -> bool:
        """True when one more would be turned away."""
        return self.count >= self.limits.most

    async def open(self, seconds: float | None, idle_seconds: float | None, memory_limit_mb: int) -> str:
        """Start a session; its name, which nobody can guess. BusyError when there are too many."""
        if self._stopped or self.full:
            raise BusyError("the server stops" if self._stopped else f"{self.limits.most} sessions are open")
        life = min(self.limits.seconds if seconds is None else seconds, self.limits.seconds)
        self._opening += 1
        try:
            session = await self._runner.open_session(SessionRequest(life, memory_limit_mb))
        finally:
            self._opening -= 1
        loop, name = asyncio.get_running_loop(), secrets.token_urlsafe(16)
        pause = self.limits.idle_seconds if idle_seconds is None else idle_seconds
        budget = loop.call_later(life, self._end, name, BUDGET)
        held = _Held(session, loop.time() + life, min(pause, self.limits.idle_seconds), budget)
        self._held[name] = held
        session.ended.add_done_callback(lambda _: self._end(name, EXITED))
        self._rest(name, held)
        if self._stopped:
            self._end(name, STOPPED)
        return name

    async def run(self, name: str, code: str, timeout: float) -> tuple[ExecutionResult, str]:
        """Run a block in a session; the result, and why the session has ended, or "".

        Raises:
            SessionGone: There is no such session.
            SessionBusy: Another block of it runs.
        """
        held = self._held.get(name)
        if held is None:
            raise SessionGone
        if held.busy:
            raise SessionBusy
        if held.idle is not None:
            held.idle.cancel()
        held.busy, why = True, GONE
        try:
            left = held.until - asyncio.get_running_loop().time()
            result = await held.session.run(code, min(timeout, left))
            why = LIMIT if result.status in _AT_A_LIMIT else EXITED
        finally:
            held.busy = False
            if held.session.lost:
                self._end(name, why)
                if held.closing is not None:
                    await asyncio.wait([held.closing])
            else:
                self._rest(name, held)
        return result, held.session.lost

    async def close(self, name: str) -> bool:
        """End a session; False when there is none."""
        held = self._held.get(name)
        self._end(name, CLOSED)
        if held is not None and held.closing is not None:
            await asyncio.wait([held.closing])
        return held is not None

    async def aclose(self) -> None:
        """End all sessions, and open no more."""
        self._stopped = True
        for name in list(self._held):
            self._end(name, STOPPED)
        if self._ends:
            await asyncio.wait(self._ends)

    def _rest(self, name: str, held: _Held) -> None:
        """Between blocks: the clock that ends what nobody comes back to."""
        held.idle = asyncio.get_running_loop().call_later(held.idle_seconds, self._end, name, IDLE)

    def _end(self, name: str, why: str) -> None:
        """Have a session ended; one that is ending already is left alone."""
        held = self._held.get(name)
        if held is None or (held.busy and why in (BUDGET, EXITED)):  # its block sees to that
            return
        del self._held[name]
        self._counts[why] += 1
        held.budget.cancel()
        if held.idle is not None:
            held.idle.cancel()
        held.closing = asyncio.get_running_loop().create_task(_close(held.session))
        self._ends.add(held.closing)
        held.closing.add_done_callback(self._ends.discard)

    def lines(self) -> Iterator[str]:
        """Lines for the page of metrics."""
        for name, number, text in (
            ("retool_sandbox_sessions", self.count, "Sessions that are open."),
            ("retool_sandbox_sessions_most", self.limits.most, "Sessions that may be open at once."),
        ):
            yield from head(name, "gauge", text)
            yield f"{name} {number}"
        name = "retool_sandbox_sessions_ended_total"
        yield from head(name, "counter", "Sessions that have ended, by what ended them.")
        for reason in _REASONS:
            yield f'{name}{{reason="{reason}"}} {self._counts[reason]}'


async def _close(session: Session) -> None:
    with suppress(Exception):  # the sandbox has lost it: it is closed then
        await session.close()
