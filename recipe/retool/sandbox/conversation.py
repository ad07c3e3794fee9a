"""The course of one call, without input or output: a generator of steps that takes replies.

Both clients drive it, so they choose, wait, retry and read alike. A call is tried again after a broken
connection although the program may have begun: programs are isolated and leave nothing behind, so running
one twice does no harm.
"""

from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field

from recipe.retool.sandbox.balance import Balancer, Probe, Wait
from recipe.retool.sandbox.retry import retry_delay
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import BUSY_CODE, parse_response, ping_problem, unavailable

_PING_SECONDS = 2.0
_MARGIN_SECONDS = 2.0
_NO_PING_CODES = (404, 405)


@dataclass(frozen=True)
class Send:
    """Post the program to server ``index``; reply with an Answer or Broken within ``seconds``."""

    index: int
    seconds: float


@dataclass(frozen=True)
class Ping:
    """Ping server ``index``; reply with an Answer or Broken within ``seconds``."""

    index: int
    seconds: float


@dataclass(frozen=True)
class Sleep:
    """Wait; reply with None."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """HTTP status code, decoded body and Retry-After header of an answer."""

    code: int
    body: object
    retry_after: str | None = None


@dataclass(frozen=True)
class Broken:
    """There was no answer."""

    reason: str

    @classmethod
    def by(cls, server: str, error: BaseException) -> "Broken":
        """With the first cause of an error: HTTP libraries wrap a refused connection four times."""
        while (cause := error.__cause__ or error.__context__) is not None:
            error = cause
        return cls(f"{server}: {type(error).__name__}: {error}")


Step = Send | Ping | Sleep
Reply = Answer | Broken | None
Conversation = Generator[Step, Reply, ExecutionResult]


@dataclass
class _Tries:
    """What one call has been through. A full server that says when to come back has not failed."""

    balancer: Balancer
    retries: int
    end: float
    program_seconds: float
    periods: int = 0  # in which all servers were down
    made: Counter[int] = field(default_factory=Counter)  # by server
    failed: Counter[int] = field(default_factory=Counter)
    not_before: dict[int, float] = field(default_factory=dict)
    period: int = 0  # the last one waited for
    last: ExecutionResult | None = None

    @property
    def left(self) -> float:
        return self.end - self.balancer.clock()

    @property
    def over(self) -> bool:
        most = max(self.failed.values(), default=0)  # going on to another server at once is no further try
        return most + self.periods > self.retries or self.left <= 0

    def again(self, index: int, result: ExecutionResult, asked: str | None = None) -> None:
        """Note a try that did not succeed, and when this server may be asked again."""
        self.failed[index] += asked is None or self.retries == 0
        self.not_before[index] = self.balancer.clock() + retry_delay(self.made[index], asked)
        self.made[index] += 1
        self.last = result

    def pause(self, wait: Wait) -> float | None:
        """Seconds to sleep; None to give up."""
        if wait.period and wait.period != self.period:
            self.period = wait.period
            self.periods += 1
        if wait.reason and self.last is None:
            self.last = unavailable(f"the sandbox is down: {wait.reason}")
        if self.over or wait.until >= self.end:
            return None
        return max(wait.until - self.balancer.clock(), 0.0)

    def share(self) -> float:
        """Seconds of one try: half of the rest where another server could take over from a silent one.

        Never less than a program may take, while there is as much.
        """
        left = self.left
        if len(self.balancer.in_flight) == 1:
            return left
        return min(left, max(left / 2, self.program_seconds + _MARGIN_SECONDS))


def converse(balancer: Balancer, retries: int, end: float, program_seconds: float) -> Conversation:
    """Steps of one call. Close the generator when the call is given up.

    Args:
        balancer: State of the servers.
        retries: Further tries after failed ones, for each server.
        end: When the call ends at the latest, on the balancer's clock.
        program_seconds: Time limit of the program.

    Returns:
        What came of it.
    """
    tries = _Tries(balancer, retries, end, program_seconds)
    while not tries.over:
        choice = balancer.choose(tries.not_before)
        if isinstance(choice, Wait):
            seconds = tries.pause(choice)
            if seconds is None:
                break
            yield Sleep(seconds)
        elif isinstance(choice, Probe):
            yield from _probe(balancer, choice.index, tries)
        else:
            result = yield from _ask(balancer, choice.index, tries)
            if result is not None:
                return result
    return tries.last or unavailable("no time was left for the call")


def _probe(balancer: Balancer, index: int, tries: _Tries) -> Generator[Step, Reply, None]:
    problem: str | None = None
    try:
        reply = yield Ping(index, max(min(_PING_SECONDS, tries.left / 2), 0.001))
        if isinstance(reply, Answer):
            # What serves no ping (a gateway in front of /run_code, say) is there all the same.
            problem = "" if reply.code in _NO_PING_CODES else ping_problem(reply.code, reply.body)
        elif isinstance(reply, Broken):
            problem = reply.reason
    finally:
        balancer.probed(index, problem)


def _ask(balancer: Balancer, index: int, tries: _Tries) -> Generator[Step, Reply, ExecutionResult | None]:
    try:
        reply = yield Send(index, max(tries.share(), 0.001))
    finally:
        balancer.release(index)
    if not isinstance(reply, Answer):
        reason = reply.reason if isinstance(reply, Broken) else "no reply"
        balancer.broken(index, reason)
        tries.again(index, unavailable(reason))
        return None
    result = parse_response(reply.code, reply.body)
    if reply.code == BUSY_CODE:
        tries.again(index, result, reply.retry_after)
        balancer.busy(index, tries.not_before[index])
        return None
    if result.status is ExecutionStatus.UNAVAILABLE:
        balancer.bad(index, result.message)
    else:
        balancer.good(index)
    return result
