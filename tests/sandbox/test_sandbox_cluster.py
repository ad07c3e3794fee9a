"""Both clients against several servers that die, lie, dawdle and come back; all of them on real sockets."""

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from recipe.retool.sandbox.client import AsyncSandboxClient, SyncSandboxClient
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import response_body

_GOOD = json.dumps(response_body(ExecutionResult(ExecutionStatus.OK, "1\n", return_code=0), {})).encode()
_TOKEN = "hunter2-5f0c2a"
_DEAD = "http://127.0.0.1:9"


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    act: Callable[["_Request"], None]

    def _serve(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("content-length", 0)))
        type(self).act(self)

    do_POST = do_GET = _serve

    def reply(self, code: int, body: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"content_length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def _fake(act: Callable[[_Request], None]) -> Iterator[str]:
    """A server whose every request is ``act``; yields its address."""
    handler = type("Handler", (_Request,), {"act": staticmethod(act)})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads, server.block_on_close = True, False
    server.handle_error = lambda *_: None  # type: ignore[method-assign,assignment]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


Load = Callable[..., list[ExecutionResult]]


def _async_load(url: str, codes: list[str], **settings: object) -> list[ExecutionResult]:
    async def calls() -> list[ExecutionResult]:
        async with AsyncSandboxClient(url, **settings) as client:  # type: ignore[arg-type]
            found = await asyncio.gather(*(client.run(code) for code in codes))
            assert set(client._process.balancer.in_flight) == {0}
            return found

    return asyncio.run(calls())


def _sync_load(url: str, codes: list[str], **settings: object) -> list[ExecutionResult]:
    client = SyncSandboxClient(url, **settings)  # type: ignore[arg-type]
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(client.run, codes))
    assert set(client._balancer.in_flight) == {0}
    return found


_both = pytest.mark.parametrize("load", [_async_load, _sync_load])


def _numbers(results: list[ExecutionResult]) -> list[str]:
    return [result.stdout.strip() or result.message for result in results]


@_both
def test_a_server_is_killed_under_load_and_no_answer_is_lost_or_crossed(
    load: Load, sandbox: EmbeddedSandbox
) -> None:
    with EmbeddedSandbox(workers=2) as victim:
        killer = threading.Timer(1.0, os.kill, (victim.pid, signal.SIGKILL))
        killer.start()
        codes = [f"import time; time.sleep(0.03); print({number})" for number in range(200)]
        results = load(f"{victim.url},{sandbox.url}", codes)
        assert not killer.is_alive()  # else it was all over before
    assert _numbers(results) == [str(number) for number in range(200)]


def test_a_server_that_is_started_again_gets_programs_again(sandbox: EmbeddedSandbox) -> None:
    with EmbeddedSandbox(workers=1) as first:
        port = int(first.url.rsplit(":", 1)[1])
        client = SyncSandboxClient(f"{first.url},{sandbox.url}")
        os.kill(first.pid, signal.SIGKILL)
        while not client._balancer.down[0]:
            assert client.run("print(1)").ok
    with EmbeddedSandbox(workers=1, port=port):
        give_up = time.monotonic() + 20
        while client._balancer.down[0]:
            assert client.run("print(1)").ok
            assert time.monotonic() < give_up
        assert client.run("print(1)").ok


@_both
def test_all_down_is_said_soon(load: Load) -> None:
    started = time.monotonic()
    results = load(f"{_DEAD},http://127.0.0.1:19", ["1"] * 32, retries=2)
    assert {result.status for result in results} == {ExecutionStatus.UNAVAILABLE}
    assert all("127.0.0.1" in result.message for result in results)
    assert time.monotonic() - started < 15


def test_a_call_outlasts_the_start_of_its_server() -> None:
    async def returns() -> ExecutionResult:
        with EmbeddedSandbox(workers=1) as server:
            port = int(server.url.rsplit(":", 1)[1])
        async with AsyncSandboxClient(server_url := f"http://127.0.0.1:{port}") as client:
            call = asyncio.create_task(client.run("print(7)"))
            await asyncio.sleep(0.3)
            with await asyncio.to_thread(lambda: EmbeddedSandbox(port=port, workers=1).start()) as server:
                assert server.url == server_url
                return await call

    assert asyncio.run(returns()).stdout == "7\n"


@_both
def test_a_slow_server_gets_few_programs(load: Load) -> None:
    seen = {"slow": 0, "fast": 0}

    def answer(name: str, seconds: float) -> Callable[[_Request], None]:
        def act(request: _Request) -> None:
            seen[name] += 1
            time.sleep(seconds)
            request.reply(200, _GOOD)

        return act

    with _fake(answer("slow", 1.0)) as slow, _fake(answer("fast", 0.02)) as fast:
        assert all(result.ok for result in load(f"{slow},{fast}", ["1"] * 400))
    assert seen["fast"] > 4 * seen["slow"] > 0


_LIES: dict[str, Callable[[_Request], None]] = {
    "html": lambda request: request.reply(200, b"<html>It works!"),
    "denied": lambda request: request.reply(401, b"no"),
    "error": lambda request: request.reply(500, b"oh"),
    "gateway": lambda request: request.reply(502, b"oh"),
    "elsewhere": lambda request: request.reply(307, b"", location=_DEAD),
}


@_both
@pytest.mark.parametrize("lie", _LIES)
def test_a_server_that_lies_fast_does_not_draw_the_programs(
    load: Load, lie: str, sandbox: EmbeddedSandbox
) -> None:
    with _fake(_LIES[lie]) as liar:
        results = load(f"{liar},{sandbox.url}", [f"print({number})" for number in range(200)])
    lost = [result for result in results if result.status is ExecutionStatus.UNAVAILABLE]
    # Calls already on their way when its second lie came in: at most what the pool sends at once.
    assert len(lost) <= 32
    assert all(result.ok for result in results[100:])


@_both
def test_a_server_that_is_always_full_is_passed_over(load: Load, sandbox: EmbeddedSandbox) -> None:
    with _fake(lambda request: request.reply(503, b"", retry_after="30")) as full:
        results = load(f"{full},{sandbox.url}", [f"print({number})" for number in range(60)])
    assert _numbers(results) == [str(number) for number in range(60)]


# Not the synchronous client and headers: each byte renews the time-out of requests.
@pytest.mark.parametrize(
    ("load", "where"), [(_async_load, "headers"), (_async_load, "body"), (_sync_load, "body")]
)
def test_an_answer_that_trickles_does_not_outlive_the_deadline(load: Load, where: str) -> None:
    def act(request: _Request) -> None:
        if where == "body":
            request.reply(200, b" ", content_length="1000")
        for _ in range(50):
            request.wfile.write(b" ")
            time.sleep(0.2)

    with _fake(act) as url:
        started = time.monotonic()
        (result,) = load(url, ["1"], deadline=1.0)
        took = time.monotonic() - started
    assert result.status is ExecutionStatus.UNAVAILABLE
    assert took < 2


@_both
def test_an_endless_answer_is_cut(load: Load) -> None:
    def act(request: _Request) -> None:
        request.reply(200, b"", content_length=str(2**40))
        while True:
            request.wfile.write(b"x" * 2**20)

    with _fake(act) as url:
        (result,) = load(url, ["1"])
    assert "longer than 64 MiB" in result.message


@_both
@pytest.mark.parametrize("code", [401, 403, 422, 500])
def test_a_token_is_sent_and_never_shown(
    load: Load, code: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []
    netrc = tmp_path / "netrc"
    netrc.write_text("machine sandbox.invalid login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))

    def act(request: _Request) -> None:
        seen.append(request.headers["authorization"])
        request.reply(code, f"bad header {request.headers['authorization']}".encode())

    caplog.set_level("DEBUG")
    with _fake(act) as proxy:
        monkeypatch.setenv("http_proxy", proxy)  # so that netrc would count
        (result,) = load("http://sandbox.invalid:8080", ["1"], token=_TOKEN)
    assert seen == [f"Bearer {_TOKEN}"]
    assert str(code) in result.message
    assert ("RETOOL_SANDBOX_TOKEN" in result.message) == (code in (401, 403))
    assert _TOKEN not in f"{result!r} {caplog.text}"


@_both
def test_the_token_of_the_environment_is_sent(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def act(request: _Request) -> None:
        seen.append(request.headers["authorization"])
        request.reply(200, _GOOD)

    with _fake(act) as url:
        load(url, ["1"])
        monkeypatch.setenv("RETOOL_SANDBOX_TOKEN", _TOKEN)
        load(url, ["1"])
    assert seen == [None, f"Bearer {_TOKEN}"]


@_both
def test_a_server_is_told_how_long_its_caller_waits(load: Load) -> None:
    seen = []

    def act(request: _Request) -> None:
        seen.append(float(request.headers["x-request-timeout"]))
        request.reply(200, _GOOD)

    with _fake(act) as url:
        load(url, ["1"], deadline=40)
        load(f"{url},{_DEAD}", ["1"], deadline=40, retries=5)
        load(f"{url},{_DEAD}", ["1"], deadline=40, retries=5, timeout=30)
    assert [round(seconds / 4) for seconds in seen] == [10, 5, 8]


@_both
def test_a_server_on_ipv6(load: Load) -> None:
    with EmbeddedSandbox(host="::1", workers=1) as server:
        assert server.url.startswith("http://[::1]:")
        assert load(server.url, ["print(6)"])[0].stdout == "6\n"


@_both
def test_a_forked_child_and_its_parent_keep_their_answers(load: Load, sandbox: EmbeddedSandbox) -> None:
    """In a process of its own: this one has threads, and forking those is another matter."""
    kind = "AsyncSandboxClient" if load is _async_load else "SyncSandboxClient"
    program = f"""
import asyncio, os, sys
from recipe.retool.sandbox.client import {kind}
client = {kind}({sandbox.url!r})
def run(code):
    found = client.run(code)
    return asyncio.run(found) if asyncio.iscoroutine(found) else found
assert run("print(0)").ok  # a connection is open now
child = os.fork()
name = "child" if child == 0 else "parent"
for number in range(40):
    found = run(f"print('{{name}} {{number}}')")
    if found.stdout != f"{{name}} {{number}}\\n":
        print(found, file=sys.stderr)
        os._exit(1)
sys.exit(0 if child == 0 else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@_both
@pytest.mark.parametrize("state", ["running", "down"])
def test_ctrl_c_ends_a_call_at_once(load: Load, state: str, sandbox: EmbeddedSandbox) -> None:
    kind = "AsyncSandboxClient" if load is _async_load else "SyncSandboxClient"
    url = sandbox.url if state == "running" else _DEAD
    program = f"""
import asyncio
from recipe.retool.sandbox.client import {kind}
client = {kind}({url!r}, timeout=60, retries=60)
print("go", flush=True)
found = client.run("import time; time.sleep(50)")
if asyncio.iscoroutine(found):
    asyncio.run(found)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(0.7)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert time.monotonic() - started < 3
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_event_loops_that_come_and_go_leave_nothing_open() -> None:
    async def calls() -> list[ExecutionResult]:
        return await asyncio.gather(*(client.run("1") for _ in range(3)))

    with _fake(lambda request: request.reply(200, _GOOD)) as url:
        client = AsyncSandboxClient(url, concurrency=1)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(30):
            assert all(result.ok for result in asyncio.run(calls()))
        gc.collect()
        assert len(client._process.loops) == 1
        assert len(os.listdir("/proc/self/fd")) - before < 6


def test_a_cancelled_call_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def scene(url: str) -> None:
        async with AsyncSandboxClient(url, concurrency=3, node_concurrency=2) as client:
            calls = [asyncio.create_task(client.run("1")) for _ in range(30)]
            for number, call in enumerate(calls):
                await asyncio.sleep(0.01 if number % 3 else 0)
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            assert client._process.balancer.in_flight == (0,)
            fast = await asyncio.gather(*(client.run("1") for _ in range(6)))
            assert all(result.ok for result in fast)

    def act(request: _Request) -> None:
        time.sleep(0.05)
        request.reply(200, _GOOD)

    with _fake(act) as url:
        asyncio.run(scene(url))


def test_the_deadline_counts_from_the_call_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def scene(url: str, **limits: int) -> None:
        async with AsyncSandboxClient(url, deadline=1.0, **limits) as client:  # type: ignore[arg-type]
            started = time.monotonic()
            results = await asyncio.gather(*(client.run("1") for _ in range(8)))
            assert time.monotonic() - started < 1.6
        assert sum(result.ok for result in results) == 2
        assert sum("no turn" in result.message for result in results) >= 5

    def act(request: _Request) -> None:
        time.sleep(0.4)
        request.reply(200, _GOOD)

    with _fake(act) as url:
        asyncio.run(scene(url, concurrency=1))
        asyncio.run(scene(url, node_concurrency=1))


def test_processes_of_a_machine_share_their_bound(tmp_path: Path) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def act(request: _Request) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.02)
        with lock:
            now -= 1
        request.reply(200, _GOOD)

    with _fake(act) as url:
        program = f"""
import asyncio
from recipe.retool.sandbox.client import AsyncSandboxClient
async def main():
    client = AsyncSandboxClient({url!r}, node_concurrency=3)
    results = await asyncio.gather(*(client.run("1") for _ in range(40)))
    assert all(result.ok for result in results), results
asyncio.run(main())
"""
        env = {**os.environ, "TMPDIR": str(tmp_path)}
        workers = [subprocess.Popen([sys.executable, "-c", program], env=env) for _ in range(4)]
        assert [worker.wait(60) for worker in workers] == [0] * 4
    assert most == 3
