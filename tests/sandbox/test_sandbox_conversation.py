"""The course of calls in a world with a clock of its own: whatever servers do, the rules hold."""

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.retool.sandbox.balance import Balancer, Probe, Use, Wait
from recipe.retool.sandbox.conversation import (
    Answer,
    Broken,
    Conversation,
    Ping,
    Reply,
    Send,
    Sleep,
    converse,
)
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import response_body

_GOOD = response_body(ExecutionResult(ExecutionStatus.OK, "1\n", return_code=0), {})
_ANSWERS: dict[str, Reply] = {
    "good": Answer(200, _GOOD),
    "garbage": Answer(200, "<html>"),
    "denied": Answer(401, ""),
    "failed": Answer(500, ""),
    "full": Answer(503, "", "1"),
    "shut": Answer(503, ""),
    "broken": Broken("reset"),
}
_PROGRAM_SECONDS = 1.0
_KINDS = st.sampled_from([*_ANSWERS, "silent"])


@dataclass
class _Call:
    steps: Conversation
    end: float
    left_after: float  # its caller gives up after so many seconds
    result: ExecutionResult | None = None
    finished: float = -1.0
    sent: list[int] = field(default_factory=list)
    failed: int = 0


@dataclass
class _World:
    """Servers that change their minds, and calls among them, in virtual time."""

    behaviour: Callable[[int, float], tuple[str, float]]
    count: int
    now: float = 0.0

    def __post_init__(self) -> None:
        self.balancer = Balancer(self.count, lambda: self.now, random.Random(1))
        self.calls: list[_Call] = []
        self._queue: list[tuple[float, int, _Call, Reply]] = []
        self._number = itertools.count()

    def call(self, at: float, retries: int, seconds: float, leaves: float = float("inf")) -> _Call:
        call = _Call(
            converse(self.balancer, retries, at + seconds, _PROGRAM_SECONDS), at + seconds, at + leaves
        )
        self.calls.append(call)
        heapq.heappush(self._queue, (at, next(self._number), call, None))
        return call

    def run(self) -> None:
        while self._queue:
            self.now, _, call, reply = heapq.heappop(self._queue)
            if self.now >= call.left_after:
                call.steps.close()
                continue
            try:
                step = call.steps.send(reply)
            except StopIteration as done:
                call.result, call.finished = done.value, self.now
                continue
            seconds, reply = self._perform(call, step)
            heapq.heappush(self._queue, (self.now + seconds, next(self._number), call, reply))

    def _perform(self, call: _Call, step: object) -> tuple[float, Reply]:
        if isinstance(step, Sleep):
            assert 0 <= step.seconds <= call.end - self.now
            return step.seconds, None
        assert isinstance(step, Send | Ping)
        kind, took = self.behaviour(step.index, self.now)
        if isinstance(step, Send):
            assert not self.balancer.down[step.index], "sent to a server that is down"
            assert step.seconds >= min(call.end - self.now, _PROGRAM_SECONDS) - 0.001
            call.sent.append(step.index)
            call.failed += kind in ("broken", "silent", "shut")
        else:
            assert self.balancer.down[step.index], "pinged a server that is in use"
        if kind == "silent" or took > step.seconds:
            return step.seconds, Broken("silent")
        if isinstance(step, Ping) and kind != "broken":
            return took, Answer(200, "<html>" if kind == "garbage" else "pong")
        return took, _ANSWERS[kind]


_scripts = st.lists(
    st.lists(st.tuples(_KINDS, st.sampled_from([0.0, 0.01, 0.3, 5.0])), min_size=1, max_size=6),
    min_size=1,
    max_size=4,
)
_call_plans = st.lists(
    st.tuples(
        st.floats(0, 20),
        st.integers(0, 4),
        st.sampled_from([0.1, 3.0, 60.0]),
        st.sampled_from([0.05, 1, 1e9]),
    ),
    min_size=1,
    max_size=25,
)


@settings(max_examples=300, deadline=None)
@given(_scripts, _call_plans)
def test_the_rules_hold_whatever_servers_do(
    scripts: list[list[tuple[str, float]]], plans: list[tuple[float, int, float, float]]
) -> None:
    def behaviour(index: int, now: float) -> tuple[str, float]:
        script = scripts[index]
        return script[int(now) % len(script)]

    world = _World(behaviour, len(scripts))
    calls = [(world.call(*plan), plan[1]) for plan in plans]
    world.run()
    assert world.balancer.in_flight == (0,) * len(scripts)
    for call, retries in calls:
        assert call.failed <= (retries + 1) * len(scripts)
        assert call.result is not None or call.left_after < 1e6
        assert call.finished <= call.end + 0.002
        if call.result is not None and call.result.status is ExecutionStatus.UNAVAILABLE:
            assert call.result.message


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["broken", "shut", "full"]), min_size=0, max_size=3),
    st.lists(st.floats(0, 10), min_size=1, max_size=30),
)
def test_one_good_server_among_dead_ones_is_enough(dead: list[str], starts: list[float]) -> None:
    kinds = [*dead, "good"]
    world = _World(lambda index, now: (kinds[index], 0.01), len(kinds))
    calls = [world.call(start, retries=len(dead), seconds=30) for start in starts]
    world.run()
    assert all(call.result is not None and call.result.ok for call in calls)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), st.sampled_from(["broken", "silent", "failed", "garbage"]))
def test_servers_that_return_are_used_again(count: int, kind: str) -> None:
    world = _World(lambda index, now: (kind if now < 10 else "good", 0.01), count)
    for start in range(60):
        world.call(start / 3, retries=1, seconds=1)
    world.run()
    late = [call for call in world.calls if call.end > 18]
    assert all(call.result is not None and call.result.ok for call in late)
    assert not any(world.balancer.down)


def test_a_dead_server_gets_pings_and_no_programs() -> None:
    asked = {Send: 0, Ping: 0}
    world = _World(lambda index, now: ("broken", 0.001), 1)
    perform = world._perform

    def counted(call: _Call, step: object) -> tuple[float, Reply]:
        if type(step) in asked:
            asked[type(step)] += 1  # type: ignore[index]
        return perform(call, step)

    world._perform = counted  # type: ignore[method-assign]
    for number in range(640):
        world.call(number % 10, retries=3, seconds=60)
    world.run()
    assert asked[Send] <= 70  # those that were on the way when it died
    assert asked[Ping] <= 12


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3))
def test_a_restart_of_all_servers_is_outlasted(count: int) -> None:
    world = _World(lambda index, now: ("good" if now > 3 else "broken", 0.001), count)
    calls = [world.call(start, retries=6, seconds=60) for start in (0.0, 0.1, 1.0, 2.0)]
    world.run()
    assert all(call.result is not None and call.result.ok for call in calls)
    assert max(call.finished for call in calls) < 8


def test_a_failed_server_is_left_for_another_at_once() -> None:
    world = _World(lambda index, now: ("good" if index else "broken", 0.01), 2)
    calls = [world.call(0, retries=1, seconds=10) for _ in range(8)]
    world.run()
    assert {call.sent[-1] for call in calls} == {1}
    assert max(call.finished for call in calls) < 0.1


def test_a_silent_server_costs_half_the_time_and_not_the_call() -> None:
    world = _World(lambda index, now: ("good" if index else "silent", 0.01), 2)
    calls = [world.call(0, retries=1, seconds=10) for _ in range(8)]
    world.run()
    assert all(call.result is not None and call.result.ok for call in calls)
    assert max(call.finished for call in calls) < 6


def test_calls_go_where_the_fewest_are() -> None:
    balancer = Balancer(3, lambda: 0.0)
    chosen = [balancer.choose({}) for _ in range(9)]
    assert balancer.in_flight == (3, 3, 3)
    assert {choice.index for choice in chosen if isinstance(choice, Use)} == {0, 1, 2}
    balancer.release(1)
    assert balancer.choose({}) == Use(1)


def test_a_full_server_is_the_last_choice_until_it_said() -> None:
    now = [0.0]
    balancer = Balancer(2, lambda: now[0])
    balancer.busy(0, until=5.0)
    assert [balancer.choose({}) for _ in range(4)] == [Use(1)] * 4
    now[0] = 5.0
    assert balancer.choose({}) == Use(0)


def test_a_server_that_returned_is_tried_with_one_program_and_opens_at_its_first_failure() -> None:
    now = [0.0]
    balancer = Balancer(2, lambda: now[0])
    balancer.broken(0, "x")
    balancer.broken(0, "x")
    now[0] = 1.0
    assert balancer.choose({}) == Probe(0)
    balancer.probed(0, "")
    assert sorted(balancer.choose({}).index for _ in range(5)) == [0, 1, 1, 1, 1]  # type: ignore[union-attr]
    balancer.bad(0, "HTTP 500")
    assert balancer.down == (True, False)


def test_one_failure_does_not_open_and_two_in_a_row_do() -> None:
    balancer = Balancer(1, lambda: 0.0)
    balancer.broken(0, "reset")
    balancer.good(0)
    balancer.broken(0, "reset")
    assert balancer.down == (False,)
    balancer.broken(0, "reset")
    wait = balancer.choose({})
    assert isinstance(wait, Wait)
    assert (wait.period, wait.reason) == (1, "reset")


def test_single_failures_between_good_answers_do_not_open() -> None:
    kinds = itertools.cycle(["broken", "good"])
    world = _World(lambda index, now: (next(kinds), 0.01), 1)
    calls = [world.call(number, retries=1, seconds=10) for number in range(20)]
    world.run()
    assert all(call.sent == [0, 0] and call.result is not None and call.result.ok for call in calls)


def test_bad_answers_never_take_the_last_server() -> None:
    balancer = Balancer(2, lambda: 0.0)
    for _ in range(5):
        balancer.bad(0, "HTTP 500")
        balancer.bad(1, "HTTP 500")
    assert sum(balancer.down) == 1


def test_one_caller_pings_and_the_others_wait() -> None:
    now = [0.0]
    balancer = Balancer(1, lambda: now[0])
    balancer.broken(0, "x")
    balancer.broken(0, "x")
    now[0] = 1.0
    assert balancer.choose({}) == Probe(0)
    assert isinstance(balancer.choose({}), Wait)
    balancer.probed(0, None)  # its caller was cancelled: the next one pings
    assert balancer.choose({}) == Probe(0)
    balancer.probed(0, "")
    assert balancer.choose({}) == Use(0)
