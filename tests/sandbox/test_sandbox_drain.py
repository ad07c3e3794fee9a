"""``retool sandbox serve`` as a supervisor sees it: SIGTERM, drain, token, logs, exit code."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from recipe.retool.sandbox.client import SyncSandboxClient
from recipe.retool.sandbox.types import ExecutionStatus
from recipe.retool.sandbox.wire import TOKEN_VARIABLE

_SERVE = "import sys; from recipe.retool.sandbox.cli import main; sys.exit(main(sys.argv[1:]))"


class _Server:
    """A server as a process, with its address and what it logs."""

    def __init__(self, *options: str, **env: str) -> None:
        command = [sys.executable, "-c", _SERVE, "serve", "--port", "0", "--workers", "1", *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **env}
        )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.url = re.search(r"http://\S+", self.line).group()  # type: ignore[union-attr]

    async def post(self, http: httpx.AsyncClient, code: str, **headers: str) -> httpx.Response:
        body = {"code": code, "language": "python", "run_timeout": 60}
        return await http.post(f"{self.url}/run_code", json=body, headers=headers)

    async def status(self, http: httpx.AsyncClient) -> tuple[int, str]:
        answer = await http.get(f"{self.url}/health")
        return answer.status_code, answer.json()["status"]

    def tree(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, seconds: float = 20) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=seconds)
        return self.process.returncode, errors


@pytest.fixture
def start() -> Iterator[type[_Server]]:
    """Starts servers that do not outlive the test."""
    made: list[_Server] = []

    class Tracked(_Server):
        def __init__(self, *options: str, **env: str) -> None:
            super().__init__(*options, **env)
            made.append(self)

    yield Tracked
    for server in made:
        if server.process.poll() is None:
            server.process.kill()
            server.process.communicate()


async def _running(server: _Server, http: httpx.AsyncClient, number: int = 1) -> None:
    for _ in range(500):
        health = (await http.get(f"{server.url}/health")).json()
        if health["in_flight"] + health["queued"] >= number:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nothing runs")


def _gone(found: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(found, timeout=5)
    return not alive


def test_sigterm_lets_what_runs_finish_and_takes_nothing_new(start: type[_Server]) -> None:
    async def scene(server: _Server) -> list[psutil.Process]:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            await server.post(http, "pass")
            slow = asyncio.create_task(server.post(http, "import time; time.sleep(1); print('done')"))
            await _running(server, http)
            waits = asyncio.create_task(server.post(http, "print('queued')"))
            await _running(server, http, 2)
            tree = server.tree()
            server.process.send_signal(signal.SIGTERM)
            queued = await waits
            assert not slow.done()
            late = await server.post(http, "print('late')")
            assert await server.status(http) == (503, "draining")
            for answer in (queued, late):
                assert answer.status_code == 503
                assert 1 <= int(answer.headers["retry-after"]) <= 30
            assert (await slow).json()["run_result"]["stdout"] == "done\n"
        return tree

    server = start("--drain", "20")
    tree = asyncio.run(scene(server))
    assert tree
    code, errors = server.end()
    assert code == 0
    assert "Traceback" not in errors
    assert _gone(tree)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, None])
def test_a_drain_ends_at_once_when_asked_again_and_when_its_time_is_over(
    start: type[_Server], second: signal.Signals | None
) -> None:
    async def scene(server: _Server) -> tuple[httpx.Response, list[psutil.Process]]:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            slow = asyncio.create_task(server.post(http, "import time; time.sleep(50)"))
            await _running(server, http)
            tree = server.tree()
            server.process.send_signal(signal.SIGTERM)
            if second is not None:
                while (await server.status(http))[1] != "draining":
                    await asyncio.sleep(0.01)
                server.process.send_signal(second)
            return await slow, tree

    server = start("--drain", "30" if second else "0.5")
    started = time.monotonic()
    answer, tree = asyncio.run(scene(server))
    assert tree
    code, errors = server.end()
    assert time.monotonic() - started < 8
    assert (answer.status_code, code) == (503, 0)
    assert "Traceback" not in errors
    assert _gone(tree)


def test_an_idle_server_with_open_connections_drains_at_once(start: type[_Server]) -> None:
    server = start("--drain", "30")
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as sock:
        sock.sendall(b"GET /v1/ping HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while b"pong" not in answer:  # head and body may come apart
            answer += sock.recv(4096) or pytest.fail("the server hung up")
        server.process.send_signal(signal.SIGTERM)
        assert server.end(8)[0] == 0


def test_a_token_opens_other_addresses_and_is_wanted(start: type[_Server], tmp_path: Path) -> None:
    async def codes(server: _Server) -> list[int]:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            port = server.url.rpartition(":")[2]
            server.url = f"http://127.0.0.1:{port}"
            good = {"Authorization": "Bearer s3cret"}
            answers = [await server.post(http, "print(1)"), await server.post(http, "print(1)", **good)]
            see = "import os; print(sorted(os.environ))"
            assert TOKEN_VARIABLE not in (await server.post(http, see, **good)).text
            return [answer.status_code for answer in answers]

    server = start("--host", "0.0.0.0", "--log-level", "warning", **{TOKEN_VARIABLE: "s3cret"})
    assert asyncio.run(codes(server)) == [401, 200]
    (tmp_path / "token").write_text("s3cret\n")
    server = start("--token-file", str(tmp_path / "token"))
    assert asyncio.run(codes(server)) == [401, 200]
    server.process.send_signal(signal.SIGINT)
    code, errors = server.end()
    assert code == 0
    assert "s3cret" not in errors


def test_our_client_shows_its_token_and_says_when_it_is_wrong(start: type[_Server]) -> None:
    server = start("--log-level", "warning", **{TOKEN_VARIABLE: "s3cret"})
    good, bad = (SyncSandboxClient(server.url, token=token, retries=0) for token in ("s3cret", "other"))
    assert good.run("print(6 * 7)").stdout == "42\n"
    refused = bad.run("print(6 * 7)")
    assert refused.status is ExecutionStatus.UNAVAILABLE
    assert TOKEN_VARIABLE in refused.message
    good.close()
    bad.close()


def test_json_logs_have_one_object_a_line_and_no_code(start: type[_Server]) -> None:
    async def scene(server: _Server) -> None:
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            await server.post(http, "print('canary')", **{"X-Request-ID": "mine-7"})

    server = start("--log-format", "json")
    asyncio.run(scene(server))
    server.process.send_signal(signal.SIGTERM)
    _, errors = server.end()
    lines = [json.loads(line) for line in errors.splitlines()]
    assert [line["status"] for line in lines if line.get("request_id") == "mine-7"] == ["ok"]
    assert "canary" not in errors


def test_the_start_line_and_health_say_how_many_programs_run_at_once(start: type[_Server]) -> None:
    server = start("--isolation", "process", "--workers", "3", "--log-level", "error")
    assert httpx.get(f"{server.url}/health", trust_env=False).json()["workers"] == 3
    assert "3 workers" in server.line


def test_answers_on_one_connection_do_not_wait_for_delayed_acks(start: type[_Server]) -> None:
    """40 ms each where the kernel holds back the second half of an answer."""
    server = start("--log-level", "error", "--isolation", "process")
    times = []
    with httpx.Client(trust_env=False) as http:
        for _ in range(15):
            started = time.monotonic()
            assert http.post(f"{server.url}/run_code", json={"code": "1"}).status_code == 422
            times.append(time.monotonic() - started)
    assert sorted(times)[7] < 0.03
