"""The other end of a request: how long it waits, and whether it is still there."""

import asyncio
import math
from collections.abc import Awaitable, Callable, MutableMapping
from types import TracebackType
from typing import Any

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Scope = MutableMapping[str, Any]


class NobodyWaitsError(Exception):
    """The work was given up; ``why`` is what :meth:`Caller.give_up` was told."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Caller:
    """Context manager around the work for one caller: cancels it when nobody waits for it any more.

    The work is the task that enters it. Leaves with NobodyWaitsError when it was cancelled from here.

    Args:
        receive: ASGI's receive of a request whose body was read: its next message is the hang-up.
        seconds: How long the caller waits from now; None: as long as the connection stands.
        gone: Reason of a hang-up.
        late: Reason of a deadline.
    """

    def __init__(self, receive: Receive, seconds: float | None, gone: str, late: str) -> None:
        self._receive, self._seconds = receive, seconds
        self._gone, self._late = gone, late
        self._why = ""

    def give_up(self, why: str) -> None:
        """Cancel the work; only the first reason counts."""
        if not self._why:
            self._why = why
            self._work.cancel()

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.give_up(self._gone)

    async def __aenter__(self) -> "Caller":
        if self._seconds is not None and self._seconds <= 0:
            raise NobodyWaitsError(self._late)
        loop = asyncio.get_running_loop()
        work = asyncio.current_task()
        if work is None:
            raise RuntimeError("a caller needs a task to cancel")
        self._work = work
        self._watcher = loop.create_task(self._watch())
        self._timer = (
            None if self._seconds is None else loop.call_later(self._seconds, self.give_up, self._late)
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watcher.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._why and isinstance(error, asyncio.CancelledError):
            if hasattr(self._work, "uncancel"):  # Python 3.11
                self._work.uncancel()
            raise NobodyWaitsError(self._why) from None


def seconds_of(header: bytes | None) -> float | None:
    """Seconds in a header; None for none and for what is no number of seconds."""
    try:
        value = float(header.decode("ascii")) if header is not None else math.nan
    except ValueError:
        return None
    return value if math.isfinite(value) else None
