"""Who runs now, who waits, and who is told to come back: the bounded queue before the runner."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

# Nobody is told to wait longer: the estimate is rough, and slots may become free at any time.
_MOST_RETRY_SECONDS = 30
_CLOSED = "the server stops"


class BusyError(Exception):
    """There is no room, or the wait became too long; an answer for the caller, not a fault."""


@dataclass(frozen=True)
class AdmissionLimits:
    """Bounds of the queue.

    Attributes:
        workers: Programs that run at once.
        max_queue: Requests that may wait for a worker.
        max_wait: Longest wait for a worker in seconds.
    """

    workers: int
    max_queue: int = 1024
    max_wait: float = 60.0


class Admission:
    """Slots handed out first come, first served; belongs to one event loop.

    Not asyncio.Semaphore under a time-out: there a slot can be handed to a waiter at the very moment it
    gives up, and such a slot must not be lost.
    """

    def __init__(self, limits: AdmissionLimits) -> None:
        self.limits = limits
        self.running = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._mean_seconds = 0.0
        self._closed = False

    @property
    def queued(self) -> int:
        """How many wait."""
        return len(self._waiting)

    @property
    def full(self) -> bool:
        """True when one more request would be turned away."""
        return self.running >= self.limits.workers and self.queued >= self.limits.max_queue

    def retry_after(self) -> int:
        """Whole seconds after which a new request has a fair chance: the queue's length in time."""
        wait = self._mean_seconds * (self.queued + 1) / self.limits.workers
        return min(max(math.ceil(wait), 1), _MOST_RETRY_SECONDS)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the slots; raises BusyError when the queue is full or the wait too long."""
        await self._enter()
        started = asyncio.get_running_loop().time()
        try:
            yield
        finally:
            seconds = asyncio.get_running_loop().time() - started
            self._mean_seconds += 0.05 * (seconds - self._mean_seconds)
            self._leave()

    def close(self) -> None:
        """Turn away all who wait and all who come."""
        self._closed = True
        while self._waiting:
            self._waiting.popleft().set_exception(BusyError(_CLOSED))

    async def _enter(self) -> None:
        if self._closed:
            raise BusyError(_CLOSED)
        if self.running < self.limits.workers:
            self.running += 1
            return
        if self.full:
            raise BusyError(f"{self.limits.max_queue} requests wait already")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await asyncio.wait([turn], timeout=self.limits.max_wait)
        except asyncio.CancelledError:
            if not turn.done():
                self._waiting.remove(turn)
            elif turn.exception() is None:
                self._leave()
            raise
        if turn.done():
            turn.result()
        else:
            self._waiting.remove(turn)
            raise BusyError(f"no worker became free in {self.limits.max_wait:g} s")

    def _leave(self) -> None:
        """Hand the slot to the next in line, or give it back."""
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self.running -= 1
