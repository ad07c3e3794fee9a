"""Counters of a sandbox server in Prometheus' text format.

Written out here rather than through prometheus_client: a dozen numbers of one event loop are less code
than that package's registry, and the server keeps one requirement fewer.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate

from recipe.retool.sandbox.admission import Admission
from recipe.retool.sandbox.types import ExecutionStatus

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Outcomes of a request that is no run: HTTP 503 (full, deadline passed, server stops), a caller who hung up,
# HTTP 401, 422 and 500.
BUSY, LATE, DRAINING, GONE = "busy", "late", "draining", "gone"
DENIED, INVALID, FAILED = "denied", "invalid", "failed"
# Of requests about sessions: closed as asked; no such session, or it runs a block already (HTTP 404 and 409).
CLOSED, NO_SESSION = "session_closed", "no_session"
_NO_RUNS = (BUSY, LATE, DRAINING, GONE, DENIED, INVALID, FAILED, CLOSED, NO_SESSION)
_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Histogram:
    """How often a number of seconds was at most each of some bounds, with count and sum."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._text = name, text
        self._buckets = [0] * (len(_BOUNDS) + 1)  # the last: beyond all bounds
        self._count = 0
        self._sum = 0.0

    def add(self, seconds: float) -> None:
        """Count one value."""
        self._count += 1
        self._sum += seconds
        self._buckets[bisect_left(_BOUNDS, seconds)] += 1

    def lines(self) -> Iterator[str]:
        """The lines of this histogram."""
        yield from head(self._name, "histogram", self._text)
        for bound, number in zip(_BOUNDS, accumulate(self._buckets), strict=False):
            yield f'{self._name}_bucket{{le="{bound:g}"}} {number}'
        yield f'{self._name}_bucket{{le="+Inf"}} {self._count}'
        yield f"{self._name}_sum {self._sum:.6f}"
        yield f"{self._name}_count {self._count}"


class Metrics:
    """What a server counts; used from its event loop only."""

    def __init__(self) -> None:
        # All labels from the start: a rate() over a counter that appears late misses its first step.
        self._requests = dict.fromkeys([*(status.value for status in ExecutionStatus), *_NO_RUNS], 0)
        self._wait = Histogram("retool_sandbox_wait_seconds", "Time in the queue before a worker was free.")
        self._run = Histogram("retool_sandbox_request_seconds", "Time of a served request, queue included.")

    def turned_away(self, status: str) -> None:
        """Count a request that was not run."""
        self._requests[status] += 1

    def served(self, status: str, waited: float, seconds: float) -> None:
        """Count a request that was answered, with its time in the queue and in all."""
        self._requests[status] += 1
        self._wait.add(waited)
        self._run.add(seconds)

    def text(self, admission: Admission, more: Iterable[str] = ()) -> str:
        """The whole page, with further lines."""
        return "\n".join([*self._lines(admission), *more]) + "\n"

    def _lines(self, admission: Admission) -> Iterator[str]:
        name = "retool_sandbox_requests_total"
        yield from head(name, "counter", "Requests by outcome.")
        for status, number in self._requests.items():
            yield f'{name}{{status="{status}"}} {number}'
        for name, number, text in (
            ("retool_sandbox_in_flight", admission.running, "Programs that run now."),
            ("retool_sandbox_queued", admission.queued, "Requests that wait for a worker."),
            ("retool_sandbox_workers", admission.limits.workers, "Programs that may run at once."),
        ):
            yield from head(name, "gauge", text)
            yield f"{name} {number}"
        yield from self._wait.lines()
        yield from self._run.lines()


def head(name: str, kind: str, text: str) -> tuple[str, str]:
    """The two lines before a metric."""
    return f"# HELP {name} {text}", f"# TYPE {name} {kind}"
