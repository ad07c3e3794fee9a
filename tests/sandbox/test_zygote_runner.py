"""The fork server: it is replaced when it dies, leaks nothing, and its programs end as Python's do."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.runner import SubprocessRunner
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.zygote.kinds import Kind
from recipe.retool.sandbox.zygote.runner import ZygoteRunner
from recipe.retool.tools.result import result_text

pytestmark = pytest.mark.namespaces
_T = TypeVar("_T")
_options: dict[str, Any] = {}


@pytest.fixture
def _both(either: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "_options", either)


both = pytest.mark.usefixtures("_both")  # what holds with namespaces and without


def _with_runner(use: Callable[[ZygoteRunner], Awaitable[_T]], preload: tuple[str, ...] = ()) -> _T:
    async def run() -> _T:
        runner = ZygoteRunner(kinds=(Kind("test", preload),), **_options)
        try:
            return await use(runner)
        finally:
            await runner.aclose()

    return asyncio.run(run())


def _one(code: str, preload: tuple[str, ...] = (), **fields: object) -> ExecutionResult:
    async def use(runner: ZygoteRunner) -> ExecutionResult:
        return (await runner.run(RunRequest(code, **fields))).result  # type: ignore[arg-type]

    return _with_runner(use, preload)


def _descendants() -> list[str]:
    """Command lines of all processes below this one."""
    parents, names = {}, {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            pid, text = int(entry.parent.name), entry.read_text()
        except OSError:
            continue
        names[pid], parents[pid] = text, int(text.rpartition(")")[2].split()[1])
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return [names[pid] for pid in below - {os.getpid()}]


async def _inner(runner: ZygoteRunner) -> int:
    outer = runner.fleet.pids[0]
    return int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])


@both
@pytest.mark.parametrize("which", ["outer", "inner"])
def test_the_programs_of_a_killed_fork_server_are_run_once_more(which: str) -> None:
    async def use(runner: ZygoteRunner) -> ExecutionResult:
        await runner.fleet.zygote_for("")
        call = asyncio.ensure_future(runner.run(RunRequest("import time; time.sleep(1); print(1)")))
        await asyncio.sleep(0.3)
        os.kill(runner.fleet.pids[0] if which == "outer" else await _inner(runner), signal.SIGKILL)
        return (await asyncio.wait_for(call, 20)).result

    assert _with_runner(use).stdout == "1\n"


def test_a_fork_server_killed_again_and_again_is_told_and_replaced() -> None:
    async def use(runner: ZygoteRunner) -> tuple[ExecutionResult, ExecutionResult, float]:
        call = asyncio.ensure_future(runner.run(RunRequest("import time; time.sleep(60)", timeout=60)))
        for _ in range(2):
            await runner.fleet.zygote_for("")
            await asyncio.sleep(0.3)
            os.kill(runner.fleet.pids[0], signal.SIGKILL)
            killed = time.monotonic()
            await asyncio.sleep(0.1)
        first = (await asyncio.wait_for(call, 10)).result
        return first, (await runner.run(RunRequest("print(1)"))).result, time.monotonic() - killed

    first, second, seconds = _with_runner(use)
    assert (first.status, second.stdout) == (ExecutionStatus.UNAVAILABLE, "1\n")
    assert "fork server" in first.message
    assert seconds < 10


@both
def test_a_stopped_fork_server_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recipe.retool.sandbox.zygote.runner.KILL_SECONDS", 0.5)

    async def use(runner: ZygoteRunner) -> ExecutionResult:
        await runner.fleet.zygote_for("")
        os.kill(await _inner(runner), signal.SIGSTOP)
        return (await asyncio.wait_for(runner.run(RunRequest("print(1)", timeout=1.0)), 20)).result

    assert _with_runner(use).stdout == "1\n"


@both
def test_200_runs_leave_nothing_behind() -> None:
    async def use(runner: ZygoteRunner) -> list[tuple[int, int, int]]:
        seen = []
        for _ in range(3):
            await asyncio.gather(*(runner.run(RunRequest(f"print({i})")) for i in range(100)))
            inner = await _inner(runner)
            own = len(os.listdir("/proc/self/fd"))
            # Only root may look: the fork server hides its /proc entries.
            its = len(os.listdir(f"/proc/{inner}/fd")) if os.geteuid() == 0 else 0
            seen.append((own, its, len(_descendants())))
        return seen

    first, second, third = _with_runner(use)
    assert first[2] == second[2] == third[2]
    # It keeps network namespaces for as many programs as ever ran at once, and nothing for each run.
    assert max(third[0] - first[0], third[1] - first[1]) < 100


@both
def test_closing_leaves_no_process() -> None:
    async def use(runner: ZygoteRunner) -> None:
        await runner.fleet.zygote_for("")
        call = asyncio.ensure_future(runner.run(RunRequest("import time; time.sleep(60)", timeout=60)))
        await asyncio.sleep(0.3)
        await runner.aclose()
        assert (await call).result.status is ExecutionStatus.UNAVAILABLE

    before = len(_descendants())
    _with_runner(use)
    assert len(_descendants()) == before


@both
def test_answers_are_not_crossed() -> None:
    async def use(runner: ZygoteRunner) -> list[str]:
        outcomes = await asyncio.gather(*(runner.run(RunRequest(f"print({i})")) for i in range(64)))
        return [outcome.result.stdout for outcome in outcomes]

    assert _with_runner(use) == [f"{i}\n" for i in range(64)]


@both
def test_a_cancelled_run_is_killed() -> None:
    async def use(runner: ZygoteRunner) -> int:
        zygote = await runner.fleet.zygote_for("")
        call = asyncio.ensure_future(runner.run(RunRequest("import time; time.sleep(60)", timeout=60)))
        await asyncio.sleep(0.3)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return zygote.running

    assert _with_runner(use) == 0


@both
@pytest.mark.parametrize(
    ("code", "return_code", "stdout", "stderr"),
    [
        ("import sys; print('a'); sys.exit('bye')", 1, "a\n", "bye\n"),
        ("\ufeffprint('after a byte order mark')", 0, "after a byte order mark\n", ""),
        ("import sys\ndef t(*a): return t\nsys.settrace(t)\n(lambda: 1)()\nprint('t')", 0, "t\n", ""),
        ("print(callable(help), __annotations__)", 0, "True {}\n", ""),
        ("file = open('/dev/stdout', 'w'); file.write('x\\n'); file.close()", 0, "x\n", ""),
        ("import sys; sys.exit(-1)", 255, "", ""),
        ("import sys; sys.exit(None)", 0, "", ""),
        ("raise KeyboardInterrupt", -2, "", "KeyboardInterrupt\n"),
        ("import os; os.abort()", -6, "", ""),
        ("import os; os.kill(os.getpid(), 9)", -9, "", ""),
        ("import os; os._exit(5)", 5, "", ""),
        ("import atexit; atexit.register(print, 'end'); print('begin')", 0, "begin\nend\n", ""),
        ("import atexit; atexit.register(print, 'end'); 1/0", 1, "end\n", "division by zero\n"),
        (
            "import threading, time\nthreading.Thread(target=lambda: (time.sleep(0.2), print('t'))).start()",
            0,
            "t\n",
            "",
        ),
        ("class A:\n    def __del__(self): print('gone')\na = A()", 0, "gone\n", ""),
        ("import sys; sys.stdout.write('no end of line')", 0, "no end of line", ""),
        ("import os; print(1, flush=True); os.close(1); print(2)", 1, "1\n", "Bad file descriptor\n"),
        ("import sys; sys.excepthook = lambda *a: print('hook'); 1/0", 1, "hook\n", ""),
        ("import ctypes; ctypes.string_at(0)", -11, "", ""),
    ],
)  # fmt: skip
def test_ends_are_those_of_python(code: str, return_code: int, stdout: str, stderr: str) -> None:
    result = _one(code, timeout=20.0, memory_limit_mb=512)
    assert (result.return_code, result.stdout) == (return_code, stdout)
    assert result.stderr.endswith(stderr)


@both
def test_a_file_left_open_is_flushed() -> None:
    async def use(runner: ZygoteRunner) -> dict[str, bytes]:
        request = RunRequest("f = open('out', 'w'); f.write('x')", fetch_files=("out",))
        return dict((await runner.run(request)).files)

    assert _with_runner(use) == {"out": b"x"}


@both
def test_fetching_files_leaves_no_descriptor_open() -> None:
    async def use(runner: ZygoteRunner) -> tuple[int, int]:
        request, seen = RunRequest("open('out', 'w').write('x')", fetch_files=("out",)), []
        for _ in range(4):
            await runner.run(request)
            seen.append(len(os.listdir("/proc/self/fd")))
        return seen[0], seen[-1]

    first, last = _with_runner(use)
    assert first == last


@both
def test_an_exit_handler_that_hangs_meets_the_time_limit() -> None:
    result = _one("import atexit, time; atexit.register(time.sleep, 60); print(42)", timeout=1.0)
    assert (result.status, result.stdout) == (ExecutionStatus.TIMEOUT, "42\n")


@both
def test_the_traceback_shows_the_lines_of_the_program() -> None:
    stderr = _one("def f():\n    return 1 / 0\n\nf()").stderr
    assert stderr.count("  File ") == 2
    assert "return 1 / 0" in stderr


def test_random_numbers_differ_from_run_to_run() -> None:
    pytest.importorskip("numpy")
    code = "import random, numpy.random; print(random.random(), numpy.random.rand())"

    async def use(runner: ZygoteRunner) -> list[str]:
        outcomes = [await runner.run(RunRequest(code)) for _ in range(2)]
        return " ".join(outcome.result.stdout for outcome in outcomes).split()

    assert len(set(_with_runner(use, ("numpy", "numpy.random")))) == 4


def test_the_fork_server_is_out_of_sight() -> None:
    code = (
        "import os, sys\nprint([name for name in sys.modules if 'recipe' in name], __name__, sys.argv)\n"
        "try: import recipe.retool\nexcept ImportError: print('not there', 'PYTHONPATH' in os.environ)"
    )
    assert _one(code).stdout == "[] __main__ ['/tmp/tmp_program/main.py']\nnot there False\n"


@both
@pytest.mark.parametrize("code", ["import json\njson.loads('{')", "import os; print(os.getcwd())", "1 +"])
def test_the_model_cannot_tell_the_runners_apart(code: str) -> None:
    async def both() -> list[str]:
        texts = []
        for runner in (ZygoteRunner(kinds=(Kind("bare"),), **_options), SubprocessRunner()):
            texts.append(result_text((await runner.run(RunRequest(code))).result))
            await runner.aclose()
        return texts

    namespaces, process = asyncio.run(both())
    assert namespaces == process
