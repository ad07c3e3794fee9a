"""Callers who leave, deadlines, tokens, request ids and logs: the server around the programs."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.access import JsonFormatter
from recipe.retool.sandbox.admission import AdmissionLimits
from recipe.retool.sandbox.app import SandboxApp
from recipe.retool.sandbox.auth import admits, read_token
from recipe.retool.sandbox.caller import seconds_of
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.protocol import Runner, RunOutcome, RunRequest
from recipe.retool.sandbox.runner import SubprocessRunner
from recipe.retool.sandbox.settings import ServerSettings, default_workers
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import TOKEN_VARIABLE
from recipe.retool.sandbox.zygote.choice import IsolationMode


class _Slow:
    """A runner that only waits; the code is the number of seconds, ``boom`` a bug."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.cancelled: list[str] = []

    async def run(self, request: RunRequest) -> RunOutcome:
        if request.code == "boom":
            raise RuntimeError("a bug")
        self.started.append(request.code)
        try:
            await asyncio.sleep(float(request.code))
        except asyncio.CancelledError:
            self.cancelled.append(request.code)
            raise
        return RunOutcome(ExecutionResult(ExecutionStatus.OK, request.code, "", 0, 0.0))

    async def aclose(self) -> None:
        return


def _client(app: SandboxApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://sandbox")


def _app(workers: int = 1, runner: Runner | None = None, **settings: Any) -> SandboxApp:
    return SandboxApp(runner or _Slow(), ServerSettings(AdmissionLimits(workers), **settings))


async def _post(client: httpx.AsyncClient, code: str, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
    return await client.post("/run_code", json={"code": code, "language": "python"}, headers=named)


def _count(app: SandboxApp, status: str) -> int:
    name = f'retool_sandbox_requests_total{{status="{status}"}} '
    page = app.service.metrics.text(app.service.admission)
    return int(next(line for line in page.splitlines() if line.startswith(name)).split()[-1])


# Deadlines


def test_a_deadline_in_the_queue_is_answered_when_it_passes_and_not_run() -> None:
    async def scene() -> None:
        runner = _Slow()
        app = _app(runner=runner)
        async with _client(app) as client:
            first = asyncio.create_task(_post(client, "0.6"))
            await asyncio.sleep(0.05)
            started = time.monotonic()
            late = await _post(client, "0.01", X_Request_Timeout="0.2")
            assert 0.15 < time.monotonic() - started < 0.5
            assert (late.status_code, int(late.headers["retry-after"]) >= 1) == (503, True)
            assert (await first).status_code == 200
            assert (await _post(client, "0.01", X_Request_Timeout="5")).status_code == 200
        assert runner.started == ["0.6", "0.01"]
        assert (_count(app, "late"), app.service.admission.running) == (1, 0)

    asyncio.run(scene())


def test_a_deadline_ends_the_run() -> None:
    async def scene() -> None:
        runner = _Slow()
        async with _client(_app(runner=runner)) as client:
            started = time.monotonic()
            assert (await _post(client, "5", X_Request_Timeout="0.2")).status_code == 503
            assert time.monotonic() - started < 1
        assert runner.cancelled == ["5"]

    asyncio.run(scene())


@pytest.mark.parametrize("seconds", ["0", "-1"])
def test_a_deadline_that_has_passed_runs_nothing(seconds: str) -> None:
    async def scene() -> None:
        runner = _Slow()
        async with _client(_app(runner=runner)) as client:
            assert (await _post(client, "0", X_Request_Timeout=seconds)).status_code == 503
        assert runner.started == []

    asyncio.run(scene())


@pytest.mark.parametrize("value", ["soon", "", "nan", "inf", "5s"])
def test_a_deadline_that_is_no_number_is_none(value: str) -> None:
    assert seconds_of(value.encode()) is None


@given(st.binary(max_size=12))
def test_any_header_gives_seconds_or_nothing(header: bytes) -> None:
    value = seconds_of(header)
    assert value is None or abs(value) < float("inf")


# Callers who leave, on a real server


def _say(url: str, code: str) -> socket.socket:
    """Send a request and do not wait for the answer."""
    host, _, port = url.removeprefix("http://").partition(":")
    body = json.dumps({"code": code, "language": "python", "run_timeout": 60}).encode()
    sock = socket.create_connection((host, int(port)))
    head = (
        f"POST /run_code HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    )
    sock.sendall(head.encode() + b"\r\n\r\n" + body)
    return sock


def _eventually(check: Callable[[], bool], seconds: float = 5.0) -> bool:
    give_up = time.monotonic() + seconds
    while not check() and time.monotonic() < give_up:
        time.sleep(0.02)
    return check()


def _running(mark: str) -> bool:
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in entry.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize("isolation", [IsolationMode.AUTO, IsolationMode.PROCESS])
def test_a_hang_up_kills_the_program_and_frees_its_place(isolation: IsolationMode) -> None:
    mark = f"61.2{len(isolation.value)}"
    with EmbeddedSandbox(workers=1, isolation=isolation) as sandbox:
        for _ in range(2):
            sock = _say(sandbox.url, f"import os; os.execvp('sleep', ['sleep', '{mark}'])")
            assert _eventually(lambda: _running(mark), 20)
            sock.close()
            assert _eventually(lambda: not _running(mark))
        answer = httpx.post(
            f"{sandbox.url}/run_code", json={"code": "print(1)", "language": "python"}, trust_env=False
        )
        assert answer.json()["run_result"]["stdout"] == "1\n"
        page = httpx.get(f"{sandbox.url}/metrics", trust_env=False).text
    assert 'requests_total{status="gone"} 2' in page


def test_hang_ups_at_any_moment_leave_the_server_whole(sandbox: EmbeddedSandbox) -> None:
    """Also in the middle of a time-out's kill, which must not take the other programs along."""

    async def scene() -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            body = {"code": "import time; time.sleep(1.5); print(1)", "language": "python"}
            steady = asyncio.create_task(client.post(f"{sandbox.url}/run_code", json=body))
            await asyncio.sleep(0.1)
            for step in range(30):
                short = {"code": "while True: pass", "language": "python", "run_timeout": 0.02}
                request = asyncio.create_task(client.post(f"{sandbox.url}/run_code", json=short))
                await asyncio.sleep(0.02 + step * 0.0005)
                request.cancel()
            assert (await steady).json()["run_result"]["stdout"] == "1\n"

    asyncio.run(scene())
    health = f"{sandbox.url}/health"
    assert _eventually(lambda: httpx.get(health, trust_env=False).json()["in_flight"] == 0)


# Tokens


def test_a_token_is_wanted_for_runs_and_metrics_only() -> None:
    async def scene() -> None:
        app = _app(token="s3cret")
        async with _client(app) as client:
            for headers in ({}, {"Authorization": "Bearer s3cre"}, {"Authorization": "Basic s3cret"},
                            {"Authorization": "s3cret"}, {"Authorization": "Bearer \xe9"}):  # fmt: skip
                answer = await _post(client, "0", **headers)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
                raw = {name: value.encode("latin-1") for name, value in headers.items()}
                assert (await client.get("/metrics", headers=raw)).status_code == 401
            good = {"Authorization": "bearer s3cret"}
            assert (await _post(client, "0", **good)).status_code == 200
            assert (await client.get("/metrics", headers=good)).status_code == 200
            assert (await client.get("/v1/ping")).json() == "pong"
            assert (await client.get("/health")).status_code == 200
        assert _count(app, "denied") == 5

    asyncio.run(scene())


@given(st.text("abc", min_size=1, max_size=4), st.text("abc", max_size=4))
def test_only_the_very_token_is_let_in(token: str, shown: str) -> None:
    assert admits(token, b"Bearer " + shown.encode()) == (token == shown)


def test_the_token_comes_from_file_or_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert read_token(None) == ""
    monkeypatch.setenv(TOKEN_VARIABLE, "from-env")
    assert read_token(None) == "from-env"
    assert read_token(None) == ""  # taken out: programs and helpers must not inherit it
    (tmp_path / "t").write_text("from-file\n")
    assert read_token(str(tmp_path / "t")) == "from-file"
    for text in ("", "two words", "\xe9"):
        (tmp_path / "t").write_text(text)
        with pytest.raises(SandboxError, match="token"):
            read_token(str(tmp_path / "t"))
    with pytest.raises(SandboxError, match="token-file"):
        read_token(str(tmp_path / "none"))


def test_settings_do_not_show_the_token() -> None:
    assert "s3cret" not in repr(ServerSettings(AdmissionLimits(1), token="s3cret"))


# Request ids and logs


def test_request_ids_are_kept_or_made() -> None:
    async def scene() -> None:
        async with _client(_app()) as client:
            assert (await _post(client, "0", X_Request_ID="mine-7")).headers["x-request-id"] == "mine-7"
            made = {(await _post(client, "0", X_Request_ID=bad)).headers["x-request-id"]
                    for bad in ("", "x" * 200, "caf\xe9")}  # fmt: skip
            assert len(made) == 3
            assert all(len(name) == 32 for name in made)

    asyncio.run(scene())


@pytest.mark.parametrize("with_code", [False, True])
def test_a_line_a_request_without_the_code(caplog: pytest.LogCaptureFixture, with_code: bool) -> None:
    async def scene() -> None:
        async with _client(_app(log_code=with_code)) as client:
            await _post(client, "0.0125", X_Request_ID="mine-7")
            await client.post("/run_code", content=b"{", headers={"content-type": "application/json"})

    caplog.set_level("INFO", "recipe.retool.sandbox.access")
    asyncio.run(scene())
    own = [record for record in caplog.records if record.name == "recipe.retool.sandbox.access"]
    good, bad = (json.loads(JsonFormatter().format(record)) for record in own)
    assert (good["request_id"], good["status"], good["code"]) == ("mine-7", "ok", 200)
    assert 0 <= good["waited"] <= good["seconds"] < 5
    assert good["bytes_in"] == len('{"code":"0.0125","language":"python"}')
    assert good["bytes_out"] > 100
    assert good["peer"].startswith("127.0.0.1")
    assert (bad["status"], bad["code"]) == ("invalid", 422)
    assert ("0.0125" in caplog.text) is with_code
    assert (good.get("program") == "0.0125") is with_code


def test_a_bug_is_a_500_and_counted() -> None:
    async def scene() -> None:
        app = _app()
        async with _client(app) as client:
            assert (await _post(client, "boom")).status_code == 500
            assert (await _post(client, "0")).status_code == 200
        assert (_count(app, "failed"), app.service.admission.running) == (1, 0)

    asyncio.run(scene())


def test_programs_at_once_by_kind_of_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, expected in ((1, 64), (8, 64), (16, 128), (128, 512)):
        monkeypatch.setattr("recipe.retool.sandbox.settings.usable_cores", lambda cores=cores: cores)
        assert default_workers(_Slow()) == expected
        assert default_workers(SubprocessRunner()) == cores
