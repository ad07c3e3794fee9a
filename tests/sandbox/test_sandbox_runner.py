"""Both runners, with real processes."""

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.limits import Interpreter, Limits, environment
from recipe.retool.sandbox.protocol import RunOutcome, RunRequest
from recipe.retool.sandbox.runner import SubprocessRunner
from recipe.retool.sandbox.types import ExecutionStatus
from recipe.retool.sandbox.zygote.runner import ZygoteRunner

_process_only = pytest.mark.parametrize("kind", ["process"], indirect=True)
_made: dict[str, type[SubprocessRunner] | type[ZygoteRunner]] = {}


@pytest.fixture(autouse=True, params=["process", pytest.param("namespaces", marks=pytest.mark.namespaces)])
def kind(request: pytest.FixtureRequest) -> str:
    """Every test runs with both runners unless it says otherwise."""
    _made["runner"] = SubprocessRunner if request.param == "process" else ZygoteRunner
    return str(request.param)


def _run(
    *requests: RunRequest, limits: Limits | None = None, python: str = sys.executable
) -> list[RunOutcome]:
    async def all_at_once() -> list[RunOutcome]:
        runner = _made["runner"](limits, python)
        try:
            return await asyncio.gather(*(runner.run(request) for request in requests))
        finally:
            await runner.aclose()

    return asyncio.run(all_at_once())


def _one(code: str, **fields: object) -> RunOutcome:
    return _run(RunRequest(code, **fields))[0]  # type: ignore[arg-type]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("code", "status", "return_code"),
    [
        ("print(1)", ExecutionStatus.OK, 0),
        ("exit()", ExecutionStatus.OK, 0),
        ("1/0", ExecutionStatus.ERROR, 1),
        ("def f(:", ExecutionStatus.ERROR, 1),
        ("print('a\0b')", ExecutionStatus.ERROR, 1),
        ("import sys; sys.exit(7)", ExecutionStatus.ERROR, 7),
        ("import os; os.kill(os.getpid(), 11)", ExecutionStatus.CRASHED, -11),
        ("import os; os.abort()", ExecutionStatus.CRASHED, -6),
        ("import os; os.kill(os.getpid(), 9)", ExecutionStatus.KILLED, -9),
        ("x = [0] * 10**9", ExecutionStatus.MEMORY, 1),
        ("raise MemoryError", ExecutionStatus.MEMORY, 1),
        ("while True: pass", ExecutionStatus.TIMEOUT, None),
        ("x = 9**9**8", ExecutionStatus.TIMEOUT, None),
    ],
)
def test_ends_are_told_apart(code: str, status: ExecutionStatus, return_code: int | None) -> None:
    result = _one(code, timeout=1.0, memory_limit_mb=512).result
    assert (result.status, result.return_code) == (status, return_code)


def test_output_before_the_time_out_is_kept() -> None:
    result = _one(
        "import sys, time\nprint('a')\nprint('b', file=sys.stderr)\ntime.sleep(60)", timeout=0.5
    ).result
    assert (result.stdout, result.stderr) == ("a\n", "b\n")


def test_zero_time_is_over_at_once() -> None:
    assert _one("print(1)", timeout=0).result.status is ExecutionStatus.TIMEOUT


def test_numpy_and_sympy_import_under_the_default_memory_limit() -> None:
    result = _one("import numpy, sympy; print(numpy.ones(9).sum())", timeout=60, memory_limit_mb=1024).result
    assert (result.stdout, result.stderr) == ("9.0\n", "")


def test_threads_start_under_a_memory_limit() -> None:
    code = "import threading\nt = threading.Thread(target=print, args=(3,))\nt.start()\nt.join()"
    assert _one(code, memory_limit_mb=256).result.stdout == "3\n"


def test_ten_megabytes_of_output_come_back_cut_and_marked() -> None:
    result = _one("print('a' * 5_000_000 + 'b' * 5_000_000)").result
    assert result.ok
    assert len(result.stdout) < 1_100_000
    assert "bytes left out" in result.stdout
    assert result.stdout[0] + result.stdout[-2] == "ab"


def test_a_flood_of_output_is_stopped() -> None:
    limits = Limits(output_bytes=1000, flood_bytes=1_000_000)
    result = _run(RunRequest("while True: print('y' * 1000)", timeout=30), limits=limits)[0].result
    assert (result.status, len(result.stdout) < 1100) == (ExecutionStatus.OUTPUT_LIMIT, True)


def test_a_flood_that_ends_by_itself_is_one_all_the_same() -> None:
    limits = Limits(output_bytes=1000, flood_bytes=100_000)
    result = _run(RunRequest("print('y' * 150_000)", timeout=30), limits=limits)[0].result
    assert result.status is ExecutionStatus.OUTPUT_LIMIT


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert _one("import sys; sys.stdout.buffer.write(b'\\xff\\x00ok')").result.stdout == "\ufffd\x00ok"


def test_the_traceback_shows_the_program_alone() -> None:
    result = _one("def f():\n    1/0\nf()").result
    assert result.stderr.count("  File ") == 2


def test_the_working_directory_is_private() -> None:
    code = "import os, time\nprint(os.listdir())\nopen('mine', 'w').close()\ntime.sleep(0.5)"
    assert [outcome.result.stdout for outcome in _run(*[RunRequest(code)] * 2)] == ["[]\n"] * 2


@_process_only
def test_the_working_directory_is_removed() -> None:
    first, second = _run(*[RunRequest("import os; print(os.getcwd(), os.listdir())")] * 2)
    folders = [outcome.result.stdout.split()[0] for outcome in (first, second)]
    assert folders[0] != folders[1]
    assert first.result.stdout.endswith("[]\n")
    assert not any(os.path.exists(folder) for folder in folders)


@_process_only
def test_a_folder_that_resists_is_removed() -> None:
    loop = "for _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\n"
    result = _one(f"import os\nprint(os.getcwd())\n{loop}os.chmod('.', 0)\nprint('deep')").result
    folder, end = result.stdout.split()
    assert end == "deep"
    assert not os.path.exists(folder)


def test_stdin_is_empty_or_as_given() -> None:
    code = "import sys; print(repr(sys.stdin.read()))"
    given = "é\n" * 500_000
    assert [_one(code).result.stdout, _one(code, stdin="x\n").result.stdout] == ["''\n", "'x\\n'\n"]
    assert _one("import sys; print(len(sys.stdin.read()))", stdin=given).result.stdout == "1000000\n"


def test_the_environment_holds_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hunter2")
    assert "hunter2" not in _one("import os; print(dict(os.environ))").result.stdout
    assert set(environment("/x", [("MY_TOKEN", "1"), ("PATH", "/bin")])) >= {"PATH", "HOME"}


def test_hash_order_repeats() -> None:
    first, second = _run(*[RunRequest("print({str(i) for i in range(50)})")] * 2)
    assert first.result.stdout == second.result.stdout


@_process_only
def test_a_child_left_behind_is_killed() -> None:
    code = "import subprocess\np = subprocess.Popen(['sleep', '60'])\nprint(p.pid)"
    started = time.monotonic()
    pid = int(_one(code).result.stdout)
    assert time.monotonic() - started < 10
    assert not _alive(pid)


def test_a_big_file_is_refused() -> None:
    code = "with open('f', 'wb') as f:\n    for _ in range(100): f.write(bytes(2**20))"
    assert "OSError" in _one(code).result.stderr


def test_no_descriptor_is_inherited() -> None:
    code = "import os\nprint([fd for fd in range(3, 200) if os.path.exists(f'/proc/self/fd/{fd}')])"
    assert _one(code).result.stdout == "[]\n"


def test_a_file_cannot_replace_the_standard_library_before_the_limits_hold() -> None:
    files = dict.fromkeys(("os.py", "resource.py", "site.py", "_ctypes.py"), b"print('mine')")
    assert _one("print(1)", files=files).result.stdout == "1\n"


def test_files_go_in_and_come_out() -> None:
    code = "import helper\nopen('out.txt', 'w').write(helper.x)"
    outcome = _one(code, files={"helper.py": b"x = 'hi'"}, fetch_files=("out.txt", "missing"))
    assert outcome.files == {"out.txt": b"hi"}


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "", ".", "a\0b"])
def test_paths_stay_inside(name: str) -> None:
    with pytest.raises(SandboxError, match="relative path"):
        _one("1", files={name: b""})
    with pytest.raises(SandboxError, match="relative path"):
        _one("1", fetch_files=(name,))


def test_links_and_pipes_are_not_fetched() -> None:
    code = "import os\nos.symlink('/etc/passwd', 'a')\nos.mkfifo('b')\nos.symlink('/etc', 'd')"
    assert _one(code, fetch_files=("a", "b", "d/passwd", ".//a")).files == {}


def test_sleeps_overlap() -> None:
    started = time.monotonic()
    results = _run(*[RunRequest("import time; time.sleep(1)")] * 8)
    assert all(outcome.result.ok for outcome in results)
    assert time.monotonic() - started < 6


def test_time_includes_the_start_of_the_process() -> None:
    assert _one("pass").result.seconds > 0.0005


@_process_only
def test_cancelling_leaves_nothing() -> None:
    async def cancel() -> int:
        runner = SubprocessRunner()
        run = asyncio.ensure_future(runner.run(RunRequest("import time; time.sleep(60)", timeout=60)))
        while not runner._live:
            await asyncio.sleep(0.01)
        (pid,) = runner._live
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        await runner.aclose()
        return pid

    assert not _alive(asyncio.run(cancel()))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can change user")
@_process_only
def test_root_runs_programs_as_nobody_when_they_can_read_python() -> None:
    python = "/usr/bin/python3"
    if not (os.path.exists(python) and Interpreter.probe(python).open_to_all()):
        pytest.skip("no Python here that everyone can read")
    code = "import os\nprint(os.getuid(), os.getgid(), os.getgroups())\nopen('f', 'w').write('mine')"
    assert _run(RunRequest(code), python=python)[0].result.stdout == "65534 65534 []\n"


def test_a_python_that_does_not_work_is_named() -> None:
    with pytest.raises(SandboxError, match="/bin/false"):
        _made["runner"](python="/bin/false")
