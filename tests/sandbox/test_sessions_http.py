"""Sessions over HTTP: names, bounds, clocks, tokens, callers who leave, and that a server's end is theirs."""

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import psutil
import pytest

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.admission import AdmissionLimits
from recipe.retool.sandbox.app import SandboxApp
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.policy import Policy
from recipe.retool.sandbox.policy_runner import PolicyRunner
from recipe.retool.sandbox.protocol import RunOutcome, RunRequest
from recipe.retool.sandbox.session import End, SessionRequest
from recipe.retool.sandbox.sessions import SessionLimits
from recipe.retool.sandbox.settings import ServerSettings
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus

_TIMEOUT = ExecutionResult(ExecutionStatus.TIMEOUT)


class _Session:
    """Prints the number of its blocks; a block that is a number sleeps so long, ``die`` ends the session."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.lost, self.blocks, self.timeouts = "", 0, [0.0]

    async def run(self, code: str, timeout: float) -> ExecutionResult:
        self.blocks += code != ""
        self.timeouts.append(timeout)
        seconds = float(code) if code.replace(".", "").isdigit() else 0.0
        try:
            await asyncio.sleep(min(seconds, timeout))
        except asyncio.CancelledError:
            await self.close()
            raise
        if seconds > timeout or code == "die":
            await self.close()
            return _TIMEOUT
        return ExecutionResult(ExecutionStatus.OK, str(self.blocks), "", 0, 0.0)

    async def close(self) -> None:
        self.lost = self.lost or "dead"
        if not self.ended.done():
            self.ended.set_result(End(0))


class _Runner:
    """A runner of such sessions."""

    def __init__(self) -> None:
        self.sessions: list[_Session] = []
        self.fails = False

    async def run(self, request: RunRequest) -> RunOutcome:
        return RunOutcome(ExecutionResult(ExecutionStatus.OK, request.code, "", 0, 0.0))

    async def open_session(self, request: SessionRequest) -> _Session:
        if self.fails:
            raise SandboxError("no more processes")
        self.sessions.append(_Session())
        return self.sessions[-1]

    async def aclose(self) -> None:
        return


class _Server:
    """An application with a client."""

    def __init__(self, workers: int = 4, token: str = "", **limits: Any) -> None:
        self.runner = _Runner()
        settings = ServerSettings(AdmissionLimits(workers), 0.0, token, False, SessionLimits(**limits))
        self.app = SandboxApp(self.runner, settings)
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://sandbox")

    async def open(self, **body: Any) -> httpx.Response:
        return await self.client.post("/sessions", json=body)

    async def name(self, **body: Any) -> str:
        return str((await self.open(**body)).json()["session"]["id"])

    async def run(self, name: str, code: str, **more: Any) -> httpx.Response:
        body = {"code": code, "language": "python", "run_timeout": 5, **more}
        return await self.client.post(f"/sessions/{name}/run", json=body)

    async def count(self) -> int:
        return int((await self.client.get("/health")).json()["sessions"]["open"])

    async def metric(self, line: str) -> str:
        page = (await self.client.get("/metrics")).text.splitlines()
        return next(found for found in page if found.startswith(line + " ")).split()[-1]


def _play(scene: Callable[[_Server], Awaitable[None]], **settings: Any) -> None:
    async def run() -> None:
        server = _Server(**settings)
        async with server.client:
            await asyncio.wait_for(scene(server), 20)

    asyncio.run(run())


def test_a_session_is_opened_used_and_closed() -> None:
    async def scene(server: _Server) -> None:
        opened = (await server.open()).json()
        assert (opened["status"], opened["run_result"]["stdout"]) == ("Success", "0")
        name = opened["session"]["id"]
        answers = [(await server.run(name, "x")).json() for _ in range(2)]
        assert [answer["run_result"]["stdout"] for answer in answers] == ["1", "2"]
        assert answers[0]["session"] == {"id": name, "alive": True, "lost": ""}
        assert await server.count() == 1
        assert (await server.client.delete(f"/sessions/{name}")).status_code == 200
        assert (await server.run(name, "x")).status_code == 404
        assert (await server.client.delete(f"/sessions/{name}")).status_code == 404
        assert await server.count() == 0

    _play(scene)


def test_the_first_block_may_come_with_the_opening() -> None:
    async def scene(server: _Server) -> None:
        assert (await server.open(code="x")).json()["run_result"]["stdout"] == "1"

    _play(scene)


def test_names_cannot_be_guessed() -> None:
    async def scene(server: _Server) -> None:
        names = {await server.name() for _ in range(20)}
        assert len(names) == 20
        assert min(map(len, names)) >= 20

    _play(scene)


def test_one_too_many_is_told_to_come_back() -> None:
    async def scene(server: _Server) -> None:
        first, _ = await server.name(), await server.name()
        full = await server.open()
        assert (full.status_code, int(full.headers["retry-after"]) > 0) == (503, True)
        await server.client.delete(f"/sessions/{first}")
        assert (await server.open()).status_code == 200
        assert await server.metric("retool_sandbox_sessions") == "2"

    _play(scene, most=2)


def test_many_at_once_never_exceed_the_bound() -> None:
    async def scene(server: _Server) -> None:
        codes = [answer.status_code for answer in await asyncio.gather(*(server.open() for _ in range(12)))]
        assert (codes.count(200), codes.count(503)) == (3, 9)

    _play(scene, most=3, workers=12)


def test_an_idle_session_ends() -> None:
    async def scene(server: _Server) -> None:
        name = await server.name(idle_seconds=0.3)
        for _ in range(3):  # each block winds the clock up again
            await asyncio.sleep(0.15)
            assert (await server.run(name, "x")).status_code == 200
        await asyncio.sleep(0.6)
        assert (await server.run(name, "x")).status_code == 404
        assert server.runner.sessions[0].lost
        assert await server.metric('retool_sandbox_sessions_ended_total{reason="idle"}') == "1"

    _play(scene)


def test_a_session_ends_with_its_budget_also_in_the_middle_of_a_block() -> None:
    async def scene(server: _Server) -> None:
        resting, busy = await server.name(session_seconds=0.4), await server.name(session_seconds=0.4)
        answer = (await server.run(busy, "3")).json()
        assert answer["run_result"]["status"] == "TimeLimitExceeded"
        assert not answer["session"]["alive"]
        await asyncio.sleep(0.2)
        assert (await server.run(resting, "x")).status_code == 404
        assert await server.count() == 0

    _play(scene)


def test_no_session_outlives_the_bound_of_the_server() -> None:
    async def scene(server: _Server) -> None:
        await server.name(session_seconds=1000, idle_seconds=1000)
        await asyncio.sleep(0.5)
        assert await server.count() == 0

    _play(scene, seconds=0.2)


def test_one_block_at_a_time() -> None:
    async def scene(server: _Server) -> None:
        name = await server.name()
        first = asyncio.ensure_future(server.run(name, "0.3"))
        await asyncio.sleep(0.1)
        assert (await server.run(name, "x")).status_code == 409
        assert (await first).json()["session"]["alive"]

    _play(scene)


def test_a_block_that_ends_its_session_says_so() -> None:
    async def scene(server: _Server) -> None:
        name = await server.name()
        assert (await server.run(name, "die")).json()["session"] == {
            "id": name,
            "alive": False,
            "lost": "dead",
        }
        assert (await server.run(name, "x")).status_code == 404

    _play(scene)


def test_a_program_that_ends_between_blocks_frees_its_place() -> None:
    async def scene(server: _Server) -> None:
        name = await server.name()
        await server.runner.sessions[0].close()
        await asyncio.sleep(0.05)
        assert (await server.run(name, "x")).status_code == 404
        assert await server.metric('retool_sandbox_sessions_ended_total{reason="exited"}') == "1"

    _play(scene)


def test_a_passed_deadline_ends_the_session() -> None:
    async def scene(server: _Server) -> None:
        name = await server.name()
        body = {"code": "3", "language": "python"}
        late = await server.client.post(
            f"/sessions/{name}/run", json=body, headers={"X-Request-Timeout": "0.2"}
        )
        assert late.status_code == 503
        assert await server.count() == 0

    _play(scene)


def test_a_failed_opening_leaves_no_place_taken() -> None:
    async def scene(server: _Server) -> None:
        server.runner.fails = True
        answer = (await server.open()).json()
        assert (answer["status"], answer["session"]["alive"]) == ("SandboxError", False)
        assert await server.count() == 0

    _play(scene, most=1)


@pytest.mark.parametrize("body", [{"session_seconds": 0}, {"idle_seconds": -1}, {"session_seconds": "soon"}])
def test_clocks_that_cannot_be_are_refused(body: dict[str, Any]) -> None:
    async def scene(server: _Server) -> None:
        assert (await server.open(**body)).status_code == 422

    _play(scene)


def test_sessions_want_the_token() -> None:
    async def scene(server: _Server) -> None:
        assert (await server.open()).status_code == 401
        assert (await server.client.delete("/sessions/x")).status_code == 401

    _play(scene, token="hunter2")


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/sessions"), ("POST", "/sessions/x"), ("PUT", "/sessions/x")]
)
def test_other_paths_are_not_there(method: str, path: str) -> None:
    async def scene(server: _Server) -> None:
        assert (await server.client.request(method, path)).status_code == 404

    _play(scene)


def test_the_policy_looks_at_every_block_and_a_refusal_ends_nothing() -> None:
    async def scene() -> None:
        session = await PolicyRunner(_Runner(), Policy()).open_session(SessionRequest(9))
        refusal = await session.run("import socket", 5)
        assert (refusal.status, session.lost) == (ExecutionStatus.REFUSED, "")
        assert (await session.run("x", 5)).stdout == "1"

    asyncio.run(scene())


def _post(url: str, path: str, **body: Any) -> dict[str, Any]:
    answer = httpx.post(f"{url}{path}", json={"language": "python", **body}, trust_env=False, timeout=30)
    found: dict[str, Any] = answer.json()
    return found


def _open(url: str) -> int:
    return int(httpx.get(f"{url}/health", trust_env=False).json()["sessions"]["open"])


def test_a_caller_who_hangs_up_in_a_block_leaves_no_session(sandbox: EmbeddedSandbox) -> None:
    name = _post(sandbox.url, "/sessions")["session"]["id"]
    before = _open(sandbox.url)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{sandbox.url}/sessions/{name}/run",
            json={"code": "while True: pass", "language": "python"},
            trust_env=False,
            timeout=0.5,
        )
    _eventually(lambda: _open(sandbox.url) == before - 1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_server_ends(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "recipe.retool.cli", "sandbox", "serve", "--port", "0", "--drain", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[2]
        for _ in range(2):
            name = _post(url, "/sessions")["session"]["id"]
            _post(url, f"/sessions/{name}/run", code="import subprocess; subprocess.Popen(['sleep', '90'])")
        processes = psutil.Process(server.pid).children(recursive=True)
        assert len(processes) > 3
        server.send_signal(number)
        server.wait(20)
    _eventually(lambda: not any(_runs(process) for process in processes))


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _eventually(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
