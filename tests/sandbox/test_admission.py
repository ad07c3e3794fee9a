"""The bounded queue, the server's answers when it is full, its metrics, and clients that come back."""

import asyncio
import time
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.retool.sandbox.admission import Admission, AdmissionLimits, BusyError
from recipe.retool.sandbox.app import SandboxApp
from recipe.retool.sandbox.policy import Policy
from recipe.retool.sandbox.policy_runner import PolicyRunner, refused
from recipe.retool.sandbox.protocol import RunOutcome, RunRequest
from recipe.retool.sandbox.retry import retry_delay
from recipe.retool.sandbox.settings import ServerSettings
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import parse_response


class _Slow:
    """A runner that only waits; the code is the number of seconds."""

    isolation = ("pid", "net")

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def run(self, request: RunRequest) -> RunOutcome:
        self.ran.append(request.code)
        await asyncio.sleep(float(request.code))
        return RunOutcome(ExecutionResult(ExecutionStatus.OK, request.code, "", 0, 0.0))

    async def aclose(self) -> None:
        return


def _client(**options: Any) -> httpx.AsyncClient:
    app = SandboxApp(_Slow(), ServerSettings(AdmissionLimits(**options)))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://sandbox")


async def _post(client: httpx.AsyncClient, code: str) -> httpx.Response:
    return await client.post("/run_code", json={"code": code, "language": "python"})


def _value(page: str, name: str) -> float:
    return float(next(line for line in page.splitlines() if line.startswith(name + " ")).split()[-1])


def test_a_full_server_says_when_to_come_back() -> None:
    async def scene() -> None:
        async with _client(workers=1, max_queue=1) as client:
            tasks = [asyncio.create_task(_post(client, "0.3")) for _ in range(4)]
            await asyncio.sleep(0.1)
            health = (await client.get("/health")).json()
            page = (await client.get("/metrics")).text
            answers = await asyncio.gather(*tasks)
            after = (await client.get("/metrics")).text
        assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503]
        busy = next(answer for answer in answers if answer.status_code == 503)
        assert 1 <= int(busy.headers["retry-after"]) <= 30
        assert health == {"status": "full", "workers": 1, "in_flight": 1, "queued": 1, "max_queue": 1,
                          "isolation": ["pid", "net"]}  # fmt: skip
        assert (_value(page, "retool_sandbox_in_flight"), _value(page, "retool_sandbox_queued")) == (1, 1)
        assert _value(after, 'retool_sandbox_requests_total{status="ok"}') == 2
        assert _value(after, 'retool_sandbox_requests_total{status="busy"}') == 2
        assert (_value(after, "retool_sandbox_in_flight"), _value(after, "retool_sandbox_queued")) == (0, 0)
        assert _value(after, "retool_sandbox_request_seconds_count") == 2
        assert 0.8 < _value(after, "retool_sandbox_request_seconds_sum") < 5  # 0.3 s, and 0.3 s in the queue
        assert _value(after, 'retool_sandbox_wait_seconds_bucket{le="0.1"}') == 1

    asyncio.run(scene())


def test_the_wait_is_bounded() -> None:
    async def scene() -> None:
        async with _client(workers=1, max_wait=0.2) as client:
            first = asyncio.create_task(_post(client, "1"))
            await asyncio.sleep(0.05)
            started = time.monotonic()
            second = await _post(client, "0")
            assert time.monotonic() - started < 0.8
            assert (second.status_code, "0.2 s" in second.text) == (503, True)
            assert (await first).status_code == 200
            assert (await _post(client, "0")).status_code == 200

    asyncio.run(scene())


def test_metrics_are_what_prometheus_reads() -> None:
    async def page() -> httpx.Response:
        async with _client(workers=1) as client:
            await _post(client, "0")
            return await client.get("/metrics")

    answer = asyncio.run(page())
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    parser = pytest.importorskip("prometheus_client.parser")
    kinds = {family.name: family.type for family in parser.text_string_to_metric_families(answer.text)}
    assert kinds == {
        "retool_sandbox_requests": "counter",
        "retool_sandbox_in_flight": "gauge",
        "retool_sandbox_queued": "gauge",
        "retool_sandbox_workers": "gauge",
        "retool_sandbox_wait_seconds": "histogram",
        "retool_sandbox_request_seconds": "histogram",
    }


_STEPS = st.lists(st.sampled_from(["enter", "leave", "cancel", "tick"]), max_size=40)


@given(_STEPS, st.integers(1, 3), st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_no_slot_is_ever_lost(steps: list[str], workers: int, max_queue: int) -> None:
    """Whoever comes, leaves or gives up at whatever moment: never too many run, and all slots come back."""

    async def visitor(admission: Admission, leave: asyncio.Event) -> None:
        async with admission.slot():
            await leave.wait()

    async def scene() -> None:
        admission = Admission(AdmissionLimits(workers, max_queue, 60.0))
        visits: list[tuple[asyncio.Task[None], asyncio.Event]] = []
        for number, step in enumerate(steps):
            if step == "enter":
                leave = asyncio.Event()
                visits.append((asyncio.create_task(visitor(admission, leave)), leave))
            elif step == "tick":
                await asyncio.sleep(0)
            elif visits:
                task, leave = visits[number % len(visits)]
                _ = leave.set() if step == "leave" else task.cancel()
            assert 0 <= admission.running <= workers
            assert admission.queued <= max_queue
        for _, leave in visits:
            leave.set()
        ends = await asyncio.gather(*(task for task, _ in visits), return_exceptions=True)
        assert all(end is None or isinstance(end, (BusyError, asyncio.CancelledError)) for end in ends)
        assert (admission.running, admission.queued) == (0, 0)

    asyncio.run(scene())


def test_first_come_first_served() -> None:
    async def scene() -> list[int]:
        admission = Admission(AdmissionLimits(1))
        order: list[int] = []

        async def visit(number: int) -> None:
            async with admission.slot():
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(visit(number) for number in range(20)))
        return order

    assert asyncio.run(scene()) == list(range(20))


@given(st.integers(0, 2000), st.none() | st.text(max_size=8) | st.floats().map(str))
def test_a_delay_is_sane_whatever_the_server_sends(attempt: int, header: str | None) -> None:
    delay = retry_delay(attempt, header)
    assert delay > 0
    assert delay < float("inf")


def test_retry_after_is_a_floor() -> None:
    assert all(5 <= retry_delay(0, "5") <= 6.25 for _ in range(50))
    assert len({retry_delay(0, "5") for _ in range(10)}) > 1


def test_a_refused_program_does_not_run_and_says_so_on_the_wire() -> None:
    async def scene() -> None:
        runner = _Slow()
        app = SandboxApp(PolicyRunner(runner, Policy()), ServerSettings(AdmissionLimits(1)))
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            answer = await _post(client, "import os")
            good = await _post(client, "0")
            page = (await client.get("/metrics")).text
            assert (await client.get("/health")).json()["isolation"] == ["pid", "net"]
        body = answer.json()
        assert (answer.status_code, body["status"], body["message"]) == (
            200, "Failed", "refused by the code policy")  # fmt: skip
        run = body["run_result"]
        assert (run["status"], run["return_code"], run["stdout"]) == ("Finished", 1, "")
        result = parse_response(200, body)
        assert result == refused(Policy().violation("import os") or "")
        assert result.stderr.startswith("Refused by the code policy, line 1")
        assert (good.json()["status"], runner.ran) == ("Success", ["0"])
        assert _value(page, 'retool_sandbox_requests_total{status="refused"}') == 1

    asyncio.run(scene())
