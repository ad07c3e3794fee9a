"""Both clients: good calls, and every way in which a service can fail."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.client import AsyncSandboxClient, SyncSandboxClient
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus

_GOOD = (
    b'{"status": "Success", "message": "", "run_result":'
    b' {"status": "Finished", "execution_time": 0.1, "return_code": 0, "stdout": "ok", "stderr": ""}}'
)


@contextmanager
def _scripted(
    *codes: int, body: bytes = _GOOD, delay: float = 0.0, retry_after: str = ""
) -> Iterator[tuple[str, list[int]]]:
    """A server that answers with these codes, the last one for ever; yields its URL and what it sent."""
    sent: list[int] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            time.sleep(delay)
            code = codes[min(len(sent), len(codes) - 1)]
            sent.append(code)
            self.send_response(code)
            self.send_header("content-length", str(len(body)))
            if retry_after and code == 503:
                self.send_header("retry-after", retry_after)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
    finally:
        server.shutdown()
        server.server_close()


def _async_run(url: str, code: str = "print(1)", **settings: float) -> ExecutionResult:
    async def call() -> ExecutionResult:
        async with AsyncSandboxClient(url, **settings) as client:  # type: ignore[arg-type]
            return await client.run(code)

    return asyncio.run(call())


def _sync_run(url: str, code: str = "print(1)", **settings: float) -> ExecutionResult:
    return SyncSandboxClient(url, **settings).run(code)  # type: ignore[arg-type]


_both = pytest.mark.parametrize("run", [_async_run, _sync_run])


@_both
def test_a_program_runs(run: type[_async_run], sandbox: EmbeddedSandbox) -> None:
    assert run(sandbox.url, "print('é')").stdout == "é\n"


@_both
def test_the_full_address_is_accepted_too(run: type[_async_run], sandbox: EmbeddedSandbox) -> None:
    assert run(f"{sandbox.url}/run_code").ok


@_both
def test_a_lone_surrogate_is_sent(run: type[_async_run], sandbox: EmbeddedSandbox) -> None:
    assert run(sandbox.url, "print('\ud800')").stdout == "?\n"


@_both
def test_nobody_listens(run: type[_async_run]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        started = time.monotonic()
        result = run(url, retries=2)
    assert result.status is ExecutionStatus.UNAVAILABLE
    assert url in result.message
    assert time.monotonic() - started < 5


@_both
def test_a_passing_failure_is_tried_again(run: type[_async_run]) -> None:
    with _scripted(503, 503, 200) as (url, sent):
        assert run(url).ok
    assert sent == [503, 503, 200]


@_both
def test_tries_are_bounded(run: type[_async_run]) -> None:
    with _scripted(503) as (url, sent):
        assert run(url, retries=2).status is ExecutionStatus.UNAVAILABLE
    assert len(sent) == 3


@_both
def test_a_full_server_is_asked_again_when_it_says(run: type[_async_run]) -> None:
    with _scripted(503, 503, 200, retry_after="1") as (url, sent):
        started = time.monotonic()
        assert run(url, retries=1).ok  # two refusals, but no failed try
        assert 2 <= time.monotonic() - started < 6
    assert sent == [503, 503, 200]


@_both
@pytest.mark.parametrize("settings", [{"deadline": 2}, {"retries": 0}])
def test_a_full_server_is_not_waited_for_beyond_the_deadline(
    run: type[_async_run], settings: dict[str, float]
) -> None:
    with _scripted(503, retry_after="20") as (url, sent):
        started = time.monotonic()
        assert "503" in run(url, **settings).message
        assert time.monotonic() - started < 2
    assert sent == [503]


@_both
@pytest.mark.parametrize("code", [400, 404, 422, 500, 502, 504])
def test_a_lasting_failure_is_not_tried_again(run: type[_async_run], code: int) -> None:
    with _scripted(code) as (url, sent):
        result = run(url)
    assert (result.status, sent) == (ExecutionStatus.UNAVAILABLE, [code])
    assert str(code) in result.message


@_both
@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b'{"status": "Success"}', b"\xff"])
def test_an_answer_that_is_no_answer(run: type[_async_run], body: bytes) -> None:
    with _scripted(200, body=body) as (url, _):
        assert run(url).status is ExecutionStatus.UNAVAILABLE


@_both
def test_the_deadline_holds(run: type[_async_run]) -> None:
    with _scripted(200, delay=3.0) as (url, _):
        started = time.monotonic()
        result = run(url, deadline=0.5)
        assert time.monotonic() - started < 2.5
    assert result.status is ExecutionStatus.UNAVAILABLE


@_both
def test_a_proxy_of_the_cluster_is_not_asked_for_loopback(
    run: type[_async_run], sandbox: EmbeddedSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert run(sandbox.url).ok


def test_one_client_serves_several_event_loops(sandbox: EmbeddedSandbox) -> None:
    client = AsyncSandboxClient(sandbox.url)
    results = [asyncio.run(client.run("print(1)")) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda: results.append(asyncio.run(client.run("print(1)")))) for _ in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [result.stdout for result in results] == ["1\n"] * 5


def test_64_calls_at_once_keep_their_answers(sandbox: EmbeddedSandbox) -> None:
    async def many() -> list[ExecutionResult]:
        async with AsyncSandboxClient(sandbox.url, concurrency=64, deadline=120) as client:
            return await asyncio.gather(*(client.run(f"print({i})") for i in range(64)))

    assert [result.stdout for result in asyncio.run(many())] == [f"{i}\n" for i in range(64)]


def test_concurrency_is_bounded() -> None:
    async def many(url: str) -> None:
        async with AsyncSandboxClient(url, concurrency=2) as client:
            await asyncio.gather(*(client.run("1") for _ in range(6)))

    with _scripted(200, delay=0.2) as (url, sent):
        started = time.monotonic()
        asyncio.run(many(url))
    assert len(sent) == 6
    assert time.monotonic() - started >= 0.6


def test_a_cancelled_call_is_cancelled() -> None:
    async def cancel(url: str) -> None:
        async with AsyncSandboxClient(url) as client:
            await asyncio.wait_for(client.run("1"), 0.2)

    with _scripted(200, delay=2.0) as (url, _), pytest.raises(asyncio.TimeoutError):
        asyncio.run(cancel(url))


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://"])
def test_an_address_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="sandbox_url"):
        AsyncSandboxClient(url)


@pytest.mark.parametrize("settings", [{"timeout": 0}, {"deadline": -1}, {"retries": -1}, {"concurrency": 0}])
def test_settings_that_cannot_work_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(settings))):
        AsyncSandboxClient("http://127.0.0.1:1", **settings)  # type: ignore[arg-type]
