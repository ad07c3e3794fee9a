"""Which of several servers gets the next call, and which are left alone for a while.

No input or output and no clock of its own: the asynchronous and the synchronous client both ask here,
and tests move the time. A server is *closed* (in use) or *open* (down). It opens after failures in a row,
stays open for a while that doubles with each period, and closes again when one ping was answered; others are
preferred until it has run a program.
"""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_STRIKES = 2  # failures in a row: one alone may be a connection that the server had just closed
_FIRST_PERIOD = 0.5  # seconds
_LAST_PERIOD = 5.0  # short: a ping is cheap, and a server that is started again is wanted at once
_PROBE_WAIT = 0.05  # seconds until another caller looks how a ping went


@dataclass(frozen=True)
class Use:
    """Send the call to this server; :meth:`Balancer.release` is due afterwards."""

    index: int


@dataclass(frozen=True)
class Probe:
    """Ping this server first; :meth:`Balancer.probed` is due afterwards."""

    index: int


@dataclass(frozen=True)
class Wait:
    """Nothing to do before ``until``; ``period``: which period with all servers down it is, or 0."""

    until: float
    period: int = 0
    reason: str = ""


Choice = Use | Probe | Wait


@dataclass
class _Server:
    in_flight: int = 0
    strikes: int = 0
    periods: int = 0  # open ones since the last good answer
    due: float | None = None  # None: closed; otherwise when it may be pinged
    probing: bool = False
    busy_until: float = float("-inf")
    reason: str = ""


class Balancer:
    """State of the servers of one client; usable from several threads.

    Args:
        count: How many servers there are.
        clock: Seconds that never go back.
        rng: Breaks ties, so that the processes of a node do not all begin with the first server.
    """

    def __init__(self, count: int, clock: Callable[[], float], rng: random.Random | None = None) -> None:
        self.clock = clock
        self._servers = [_Server() for _ in range(count)]
        self._random = rng or random.Random()
        self._lock = threading.Lock()

    def choose(self, not_before: Mapping[int, float]) -> Choice:
        """What a call does next.

        Args:
            not_before: Servers that have failed or refused this call, and until when it leaves them alone.
        """
        with self._lock:
            now = self.clock()
            for index, server in enumerate(self._servers):
                if server.due is not None and server.due <= now and not server.probing:
                    server.probing = True
                    return Probe(index)
            closed = [index for index, server in enumerate(self._servers) if server.due is None]
            free = [index for index in closed if not_before.get(index, now) <= now]
            if free:
                index = min(free, key=lambda i: self._load(i, now))
                self._servers[index].in_flight += 1
                return Use(index)
            if closed:
                return Wait(min(not_before[index] for index in closed))
            return self._all_down(now)

    def _load(self, index: int, now: float) -> tuple[bool, int, float]:
        server = self._servers[index]
        on_trial = server.periods > 0 and server.in_flight > 0  # one program at a time until one went well
        return on_trial or server.busy_until > now, server.in_flight, self._random.random()

    def _all_down(self, now: float) -> Wait:
        waiting = [s.due for s in self._servers if s.due is not None and not s.probing]
        reason = self._servers[0].reason
        if len(waiting) < len(self._servers):
            return Wait(now + _PROBE_WAIT, reason=reason)
        return Wait(min(waiting), min(server.periods for server in self._servers), reason)

    def release(self, index: int) -> None:
        """The call to this server is over, whatever came of it."""
        with self._lock:
            self._servers[index].in_flight -= 1

    def good(self, index: int) -> None:
        """It has answered as a sandbox does."""
        with self._lock:
            server = self._servers[index]
            server.strikes = server.periods = 0
            server.due, server.busy_until = None, float("-inf")

    def busy(self, index: int, until: float) -> None:
        """It is full; others are preferred until then."""
        with self._lock:
            server = self._servers[index]
            server.strikes, server.busy_until = 0, until

    def broken(self, index: int, reason: str) -> None:
        """It could not be reached, broke the connection or was silent."""
        with self._lock:
            self._strike(self._servers[index], reason)

    def bad(self, index: int, reason: str) -> None:
        """It answers, but not as a sandbox does; it opens only while another server is in use.

        One that fails fast would otherwise draw all calls to itself, being the least loaded.
        """
        with self._lock:
            server = self._servers[index]
            if any(other.due is None for other in self._servers if other is not server):
                self._strike(server, reason)

    def probed(self, index: int, problem: str | None) -> None:
        """The ping was answered (empty problem), was not, or was given up by its caller (None)."""
        with self._lock:
            server = self._servers[index]
            server.probing = False
            if problem:
                self._open(server, problem)
            elif problem is not None:
                server.due, server.strikes = None, _STRIKES - 1  # the next failure opens it again

    def _strike(self, server: _Server, reason: str) -> None:
        server.strikes += 1
        if server.strikes >= _STRIKES and server.due is None:
            self._open(server, reason)

    def _open(self, server: _Server, reason: str) -> None:
        seconds = min(_FIRST_PERIOD * 2.0 ** min(server.periods, 10), _LAST_PERIOD)
        server.due = self.clock() + seconds * self._random.uniform(0.75, 1.0)
        server.periods += 1
        server.reason = reason

    @property
    def in_flight(self) -> tuple[int, ...]:
        """Calls on the way, server by server."""
        with self._lock:
            return tuple(server.in_flight for server in self._servers)

    @property
    def down(self) -> tuple[bool, ...]:
        """Whether each server is left alone at present."""
        with self._lock:
            return tuple(server.due is not None for server in self._servers)
