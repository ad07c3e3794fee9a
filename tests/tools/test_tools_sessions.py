"""The stateful code interpreter, on real servers: variables stay, and a model is told when they are lost."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

import httpx
import pytest

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.tools.interpreter import CodeInterpreter

_T = TypeVar("_T")
_RESTARTED = "[the interpreter was restarted; variables are lost]"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[EmbeddedSandbox]:
    """A running server."""
    with EmbeddedSandbox(workers=2) as server:
        yield server


def _tool(url: str, **config: Any) -> CodeInterpreter:
    return CodeInterpreter.from_config({"sandbox_url": url, "timeout": 1, "stateful": True, **config}, {})


def _calls(url: str, *codes: str, **config: Any) -> list[ToolResult]:
    """Results of the blocks of one trajectory."""

    async def use(tool: CodeInterpreter, session: Session) -> list[ToolResult]:
        return [await tool.call({"code": code}, session) for code in codes]

    return _with_session(url, use, **config)


def _with_session(url: str, use: Callable[[CodeInterpreter, Session], Awaitable[_T]], **config: Any) -> _T:
    async def run() -> _T:
        session = Session("trajectory")
        try:
            return await use(_tool(url, **config), session)
        finally:
            await session.close()

    return asyncio.run(run())


def _open(url: str) -> int:
    return int(httpx.get(f"{url}/health", trust_env=False).json()["sessions"]["open"])


def test_variables_survive_and_the_text_is_that_of_a_stateless_call(sandbox: EmbeddedSandbox) -> None:
    results = _calls(sandbox.url, "x = 20\ndef f(n): return n + 1", "f(x)", "y")
    assert [result.text for result in results[:2]] == ["(no output; use print() to see a value)", "21"]
    assert (results[0].empty, results[1].empty) == (True, False)
    assert (results[2].kind, results[2].error) == ("error", "NameError")
    alone = asyncio.run(_tool(sandbox.url, stateful=False).call({"code": "y"}, Session()))
    assert results[2].text == alone.text


def test_trajectories_are_apart_and_leave_nothing(sandbox: EmbeddedSandbox) -> None:
    async def scene() -> list[str]:
        tool = _tool(sandbox.url)
        sessions = [Session(str(number)) for number in range(4)]
        for number, session in enumerate(sessions):
            await tool.call({"code": f"x = {number}"}, session)
        results = await asyncio.gather(*(tool.call({"code": "x"}, session) for session in sessions))
        await asyncio.gather(*(session.close() for session in sessions))
        return [result.text for result in results]

    assert asyncio.run(scene()) == ["0", "1", "2", "3"]
    assert _open(sandbox.url) == 0


def test_nothing_is_opened_before_the_first_call(sandbox: EmbeddedSandbox) -> None:
    async def use(tool: CodeInterpreter, session: Session) -> int:
        await tool.call({}, session)
        return _open(sandbox.url)

    assert _with_session(sandbox.url, use) == 0


def test_calls_of_one_turn_run_one_after_another(sandbox: EmbeddedSandbox) -> None:
    async def use(tool: CodeInterpreter, session: Session) -> list[str]:
        await tool.call({"code": "n = 0"}, session)
        codes = [{"code": "n += 1\nn"}] * 5
        return [result.text for result in await asyncio.gather(*(tool.call(c, session) for c in codes))]

    assert _with_session(sandbox.url, use) == ["1", "2", "3", "4", "5"]


def test_a_time_out_tells_that_the_variables_are_lost(sandbox: EmbeddedSandbox) -> None:
    _, late, after, again = _calls(sandbox.url, "x = 1", "while True: pass", "x", "2")
    assert (late.kind, late.text) == ("timeout", f"[stopped: the time limit was reached]\n{_RESTARTED}")
    assert (after.error, _RESTARTED in after.text) == ("NameError", False)  # told once
    assert again.text == "2"


def test_a_session_that_ended_between_calls_is_told_with_the_next(sandbox: EmbeddedSandbox) -> None:
    async def use(tool: CodeInterpreter, session: Session) -> list[ToolResult]:
        first = await tool.call({"code": "x = 1"}, session)
        await asyncio.sleep(1.5)
        return [first, await tool.call({"code": "2"}, session), await tool.call({"code": "3"}, session)]

    _, second, third = _with_session(sandbox.url, use, session_seconds=1)
    assert (second.kind, second.text, third.text) == ("ok", f"2\n{_RESTARTED}", "3")


def test_a_server_that_was_started_again_is_told() -> None:
    with EmbeddedSandbox(workers=2) as server:

        async def use(tool: CodeInterpreter, session: Session) -> ToolResult:
            await tool.call({"code": "x = 1"}, session)
            await asyncio.to_thread(_restart, server)
            return await tool.call({"code": "2"}, session)

        result = _with_session(server.url, use)
    assert (result.kind, result.text) == ("ok", f"2\n{_RESTARTED}")


def _restart(server: EmbeddedSandbox) -> None:
    os.kill(server.pid, signal.SIGKILL)
    while server.revive() is None:
        pass


def test_a_long_text_keeps_the_word_about_the_restart(sandbox: EmbeddedSandbox) -> None:
    (result,) = _calls(sandbox.url, "print('x' * 5000)\nimport os\nos._exit(0)", max_result_chars=200)
    assert len(result.text) <= 200
    assert result.text.endswith(_RESTARTED)


def test_who_waits_for_a_place_holds_up_nobody_who_has_one() -> None:
    command = [sys.executable, "-m", "recipe.retool.cli", "sandbox", "serve", "--port", "0", "--drain", "0"]
    with subprocess.Popen(
        [*command, "--max-sessions", "1"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[2]

        async def scene() -> tuple[list[str], str]:
            tool, first, second = _tool(url, max_concurrency=1), Session("1"), Session("2")
            await tool.call({"code": "n = 0"}, first)
            waiting = asyncio.ensure_future(tool.call({"code": "'second'\n7"}, second))
            await asyncio.sleep(0.3)
            texts = [(await tool.call({"code": "n += 1\nn"}, first)).text for _ in range(3)]
            assert not waiting.done()
            await first.close()
            text = (await asyncio.wait_for(waiting, 20)).text
            await second.close()
            return texts, text

        try:
            assert asyncio.run(scene()) == (["1", "2", "3"], "7")
        finally:
            server.terminate()


def test_a_dead_server_is_unavailable_and_nothing_is_held() -> None:
    (result,) = _calls("http://127.0.0.1:9", "1", retries=0)
    assert (result.kind, _RESTARTED in result.text) == ("unavailable", False)


class _Fusion(BaseHTTPRequestHandler):
    """SandboxFusion as far as a start looks at it: a ping, and no /health."""

    def do_GET(self) -> None:
        found = self.path == "/v1/ping"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(json.dumps("pong" if found else {"detail": "Not Found"}).encode())

    def log_message(self, *_: Any) -> None:
        return


def test_a_server_without_sessions_stops_the_start_and_names_the_remedy() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Fusion) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(ConfigError, match="retool sandbox serve"):
            _tool(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"stateful": "yes"}, "stateful"),
        ({"stateful": 1}, "stateful"),
        ({"session_seconds": 0}, "session_seconds"),
    ],
)
def test_a_bad_setting_names_its_key(config: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        _tool("http://127.0.0.1:9", **config)
