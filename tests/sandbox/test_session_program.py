"""Sessions without a server around them: what survives, what ends one, and that no other notices."""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.retool.sandbox.limits import Limits
from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.runner import SubprocessRunner
from recipe.retool.sandbox.session import End, ProgramSession, SessionRequest
from recipe.retool.sandbox.snippet import echo_last_expression
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.zygote.kinds import Kind
from recipe.retool.sandbox.zygote.runner import ZygoteRunner
from recipe.retool.tools.result import result_text

_T = TypeVar("_T")
Runner = SubprocessRunner | ZygoteRunner
NewRunner = Callable[[], Runner]


def _use(new_runner: NewRunner, use: Callable[[Runner], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        runner = new_runner()
        try:
            return await asyncio.wait_for(use(runner), 60)
        finally:
            await runner.aclose()

    return asyncio.run(run())


def _blocks(new_runner: NewRunner, *codes: str, timeout: float = 20.0) -> list[ExecutionResult]:
    """Results of blocks of one session."""

    async def use(runner: Runner) -> list[ExecutionResult]:
        session = await runner.open_session(SessionRequest(60))
        results = [await session.run(code, timeout) for code in codes]
        await session.close()
        return results

    return _use(new_runner, use)


def test_variables_imports_and_definitions_survive(new_runner: NewRunner) -> None:
    first = "import math\nx = 3\ndef double(n): return 2 * n\nclass Point: y = 4"
    _, second, third = _blocks(new_runner, first, "x += 1", "print(double(x), Point.y, math.gcd(x, 6))")
    assert (second.status, third.stdout) == (ExecutionStatus.OK, "8 4 2\n")


def test_an_error_and_sys_exit_leave_the_variables(new_runner: NewRunner) -> None:
    results = _blocks(new_runner, "x = 1", "1 / 0", "import sys; sys.exit(3)", "print(x)")
    assert [result.return_code for result in results] == [0, 1, 3, 0]
    assert results[-1].stdout == "1\n"


def test_two_sessions_do_not_see_each_other(new_runner: NewRunner) -> None:
    async def use(runner: Runner) -> tuple[ExecutionResult, ExecutionResult]:
        one, other = [await runner.open_session(SessionRequest(60)) for _ in range(2)]
        await one.run("x = 'secret'; open('note', 'w').write(x)", 10)
        found = await other.run("import os; print('x' in globals(), os.path.exists('note'))", 10)
        again = await one.run("print(x, open('note').read())", 10)
        return found, again

    found, again = _use(new_runner, use)
    assert (found.stdout, again.stdout) == ("False False\n", "secret secret\n")


def test_a_traceback_shows_the_lines_of_an_older_block(new_runner: NewRunner) -> None:
    old = "def half(n):\n    return n / zero"
    *_, result = _blocks(new_runner, old, "a = 1\nb = 2\nprint('no such line')", "half(1)")
    assert result_text(result).splitlines()[:5] == [
        "Traceback (most recent call last):",
        '  File "main.py", line 1, in <module>',
        "    half(1)",
        '  File "main.py", line 2, in half',
        "    return n / zero",
    ]


_PROGRAMS = (
    "6 * 7",
    "x = 1",
    "print('é', 1)\nprint('b', end='')",
    "import sys\nprint('out')\nprint('err', file=sys.stderr)",
    "1 / 0",
    "def f(:",
    "import sys\nsys.exit('bye')",
    "raise SystemExit(7)",
    "def f(n):\n    return g(n)\ndef g(n):\n    raise ValueError('two\\nlines')\nf(1)",
    "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise KeyError('k') from e",
    "[n ** 2 for n in range(3)]",
    "print(__name__, type(__builtins__).__name__)",
    "class A: pass\nA().__class__.__module__",
    "x = [0] * 10 ** 10",
    "import os\nos.kill(os.getpid(), 9)",
)


def test_the_text_of_a_block_is_that_of_a_program(new_runner: NewRunner) -> None:
    async def use(runner: Runner) -> list[tuple[str, str]]:
        pairs = []
        for code in map(echo_last_expression, _PROGRAMS):
            session = await runner.open_session(SessionRequest(60, 256))
            block = await session.run(code, 20)
            await session.close()
            alone = await runner.run(RunRequest(code, memory_limit_mb=256, timeout=20))
            pairs.append((result_text(block), result_text(alone.result)))
        return pairs

    for code, (block, alone) in zip(_PROGRAMS, _use(new_runner, use), strict=True):
        assert block == alone, code


def test_a_time_out_ends_the_session(new_runner: NewRunner) -> None:
    async def use(runner: Runner) -> tuple[ExecutionResult, str, bool]:
        session = await runner.open_session(SessionRequest(60))
        result = await session.run("print('so far', flush=True)\nwhile True: pass", 0.5)
        return result, session.lost, session.ended.done()

    result, lost, ended = _use(new_runner, use)
    assert (result.status, result.stdout) == (ExecutionStatus.TIMEOUT, "so far\n")
    assert "time limit" in lost
    assert ended


_FRAME = "import struct, os\ndef frame(*v): return struct.pack('<IB', *v)\n"
_HOSTILE = {
    "exit": "import os; os._exit(0)",
    "close": "import os; os.closerange(0, 256)",
    "write everywhere": (
        "import os\nfor fd in range(64):\n    try: os.write(fd, b'x' * 999)\n    except OSError: pass"
    ),
    "read everywhere": (
        "import os\nfor fd in range(3, 64):\n    try: os.set_blocking(fd, False); os.read(fd, 9)\n"
        "    except OSError: pass"
    ),
    "answer twice": _FRAME
    + "for fd in range(3, 64):\n    try: os.write(fd, frame(1, 0) * 2)\n    except OSError: pass",
    "answer for others": (
        _FRAME + "for fd in range(3, 64):\n    try: os.write(fd, frame(2, 0))\n    except OSError: pass"
    ),
    "early answer, late end": (
        _FRAME + "import time\nfor fd in range(3, 64):\n    try: os.write(fd, frame(1, 0))\n"
        "    except OSError: pass\ntime.sleep(0.3)"
    ),
    "no streams": "import sys\nsys.stdout = sys.stderr = sys.stdin = sys.__stdout__ = None",
    "no print": "import builtins\nfor name in ('print', 'open', 'len', 'exec', 'compile', 'getattr'):\n"
    "    setattr(builtins, name, None)",
    "no os": "import os\nfor name in ('read', 'write', '_exit', 'mkdir'):\n    setattr(os, name, None)",
    "other program": "import os, sys\nos.execv('/bin/true', ['true'])",
    "fork": "import os\nfor _ in range(3): os.fork()",
    "daemon": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(3)",
    "flood": "while True: print('x' * 10000)",
    "flood from a thread": (
        "import threading\ndef flood():\n    while True: print('x' * 10000)\n"
        "threading.Thread(target=flood, daemon=True).start()"
    ),
    "alarm": (
        "import signal\ndef ring(*_): raise TimeoutError\nsignal.signal(signal.SIGALRM, ring)\n"
        "signal.setitimer(signal.ITIMER_REAL, 0.05)"
    ),
    "stop": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
    "no folder": "import os, shutil, sys\nshutil.rmtree(os.path.dirname(sys.argv[0]), ignore_errors=True)",
    "hooks": "import sys\nsys.excepthook = None\nsys.settrace(lambda *a: 1 / 0)\n1 / 0",
}


def test_hostile_blocks_end_their_own_session_at_worst(new_runner: NewRunner) -> None:
    async def use(runner: Runner) -> None:
        bystander = await runner.open_session(SessionRequest(60))
        await bystander.run("x = 5", 10)
        for name, code in _HOSTILE.items():
            session = await runner.open_session(SessionRequest(60, 256))
            await asyncio.wait_for(session.run(code, 1.0), 10)
            await asyncio.wait_for(session.run("print(1)", 1.0), 10) if not session.lost else None
            await asyncio.wait_for(session.close(), 10)
            assert session.ended.done(), name
            assert (await bystander.run("print(x)", 10)).stdout == "5\n", name

    _use(new_runner, use)


def test_harmless_tricks_do_not_even_end_their_own(new_runner: NewRunner) -> None:
    kept = ("no streams", "alarm", "no folder", "fork")
    for name in kept:
        results = _blocks(new_runner, f"x = 5\n{_HOSTILE[name]}", "import time; time.sleep(0.1); print(x)")
        assert results[-1].stdout == "5\n", name


def test_a_forged_answer_does_not_pass_for_that_of_the_next_block(new_runner: NewRunner) -> None:
    async def use(runner: Runner) -> tuple[ExecutionResult, str]:
        session = await runner.open_session(SessionRequest(60))
        await session.run(_HOSTILE["early answer, late end"], 10)
        return await session.run("print('second')", 10), session.lost

    second, lost = _use(new_runner, use)
    assert second.status is not ExecutionStatus.OK
    assert lost == "it answered out of turn"


def test_a_fork_bomb_dies_with_its_session(new_runner: NewRunner) -> None:
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"
    before = _mine()
    (result,) = _blocks(new_runner, bomb, timeout=1.0)
    assert result.status is ExecutionStatus.TIMEOUT
    assert _gone(before)


def test_closing_the_runner_leaves_no_process(new_runner: NewRunner) -> None:
    async def use(runner: Runner) -> None:
        for _ in range(3):
            session = await runner.open_session(SessionRequest(60))
            await session.run("import subprocess\nsubprocess.Popen(['sleep', '60'])", 10)

    before = _mine()
    _use(new_runner, use)
    assert _gone(before)


@pytest.mark.namespaces
def test_a_killed_fork_server_takes_its_sessions_along() -> None:
    async def use(runner: Runner) -> None:
        assert isinstance(runner, ZygoteRunner)
        session = await runner.open_session(SessionRequest(60))
        await session.run("x = 1", 10)
        os.kill(runner.fleet.pids[0], signal.SIGKILL)
        await asyncio.wait([session.ended], timeout=10)
        result = await session.run("print(x)", 10)
        assert (result.status, bool(session.lost)) == (ExecutionStatus.UNAVAILABLE, True)
        fresh = await runner.open_session(SessionRequest(60))
        assert (await fresh.run("print(2)", 10)).stdout == "2\n"

    _use(lambda: ZygoteRunner(kinds=(Kind("test"),)), use)


def test_a_cancelled_block_ends_the_session(new_runner: NewRunner) -> None:
    async def use(runner: Runner) -> bool:
        session = await runner.open_session(SessionRequest(60))
        task = asyncio.ensure_future(session.run("while True: pass", 30))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.wait([task], timeout=10)
        return task.cancelled() and session.ended.done()

    assert _use(new_runner, use)


class _NoProcess:
    """A program that does nothing: it is dead as soon as it is told to be."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    def kill(self) -> None:
        if not self.ended.done():
            self.ended.set_result(End(-9))


@given(st.lists(st.binary(min_size=1, max_size=12), max_size=4), st.booleans())
@settings(max_examples=150, deadline=None)
def test_whatever_comes_over_the_socket_a_block_has_an_end(packets: list[bytes], close: bool) -> None:
    async def scene() -> None:
        session = ProgramSession(Limits())
        theirs = socket.socket(fileno=os.dup(session.theirs[-1]))
        session.attach(_NoProcess())
        block = asyncio.ensure_future(session.run("1", 0.02))
        await asyncio.sleep(0)
        for packet in packets:
            theirs.send(packet)
        if close:
            theirs.close()
        result = await asyncio.wait_for(block, 5)
        if not (packets and packets[0].startswith(b"\1\0\0\0")):
            assert result.status in (ExecutionStatus.TIMEOUT, ExecutionStatus.KILLED)
            assert session.lost
        await session.close()
        theirs.close()

    asyncio.run(scene())


def _mine() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


def _gone(before: set[int], seconds: float = 5.0) -> bool:
    """No process of ours is there that was not before, once orphans are reaped."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not {pid for pid in _mine() - before if _alive(pid)}:
            return True
        time.sleep(0.05)
    return False


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
