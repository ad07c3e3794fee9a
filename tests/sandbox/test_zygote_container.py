"""The mode without namespaces: what a program with a user of its own cannot do, and that nothing is left."""

import asyncio
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.zygote import keeper, probe_container
from recipe.retool.sandbox.zygote.kinds import Kind
from recipe.retool.sandbox.zygote.runner import ZygoteRunner
from recipe.retool.sandbox.zygote.uids import BLOCK, FIRST, LAST, Claim

pytestmark = pytest.mark.container
_T = TypeVar("_T")
_PYTHON = sys.executable
# A server's start under the rules that Docker sets by default: fewer capabilities, and no namespaces.
_LIKE_DOCKER = """
import ctypes, errno, os, sys, pyseccomp
libc = ctypes.CDLL(None)
rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
for name in ("unshare", "setns", "mount", "umount2", "pivot_root", "mount_setattr", "open_tree"):
    rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, 1 << 28, 1 << 28))
rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
rules.load()
kept = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}
for number in set(range(64)) - kept:
    libc.prctl(24, number, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""
_SERVER = """
import asyncio, logging, sys
from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.zygote.choice import IsolationMode, choose_runner
logging.basicConfig(level=logging.INFO)
async def main(runner):
    print((await runner.run(RunRequest("print(6 * 7)"))).result.stdout, *runner.isolation)
    await runner.aclose()
asyncio.run(main(choose_runner(IsolationMode.AUTO, sys.argv[1], False)))
"""


@pytest.fixture(autouse=True)
def _python(open_python: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "_PYTHON", open_python)


def _with_runner(use: Callable[[ZygoteRunner], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        runner = ZygoteRunner(kinds=(Kind("bare"),), python=_PYTHON, container=True)
        try:
            return await use(runner)
        finally:
            await runner.aclose()

    return asyncio.run(run())


def _results(*codes: str, timeout: float = 20.0) -> list[ExecutionResult]:
    async def use(runner: ZygoteRunner) -> list[ExecutionResult]:
        requests = [RunRequest(code, timeout=timeout, memory_limit_mb=256) for code in codes]
        return [one.result for one in await asyncio.gather(*map(runner.run, requests))]

    return _with_runner(use)


def _tries(statement: str) -> str:
    """What a statement ends in: the name of its error, or nothing."""
    code = f"import os, socket\ntry:\n    {statement}\nexcept Exception as error: print(type(error).__name__)"
    result = _results(code)[0]
    assert result.ok, result
    return result.stdout.strip()


def _of_programs() -> list[Path]:
    """Processes of all programs' users on this machine that are not dead."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if FIRST <= entry.stat().st_uid <= LAST and "\nState:\tZ" not in (entry / "status").read_text():
                found.append(entry)
        except OSError:
            continue
    return found


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may read and write."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def open_file(open_folder: Path) -> Iterator[Path]:
    """A file that every user may read and write; as it was in the end, and alone."""
    file = open_folder / "file"
    file.write_text("hunter2")
    file.chmod(0o666)
    yield file
    assert [path.name for path in open_folder.iterdir()] == ["file"]
    assert file.read_text() == "hunter2"


def test_auto_takes_it_where_docker_allows_no_namespaces() -> None:
    pytest.importorskip("pyseccomp")
    command = [sys.executable, "-c", _LIKE_DOCKER, sys.executable, "-c", _SERVER, _PYTHON]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split()[:2] == ["42", "container"], done
    assert "namespaces cannot be used" in done.stderr


def test_the_probe_says_what_is_there_and_what_never_is() -> None:
    found = probe_container.probe_container(_PYTHON)
    assert {"own user", "landlock", "no sockets", "seccomp", "no_new_privs"} <= set(found.names())
    assert {"namespaces", "disk limit"} <= {name for name, _ in found.missing}


@pytest.mark.parametrize(
    "statement",
    [
        "open({!r})",
        "open({!r}, 'a')",
        "os.truncate({!r}, 0)",
        "os.open({!r}, os.O_TRUNC)",
        "os.unlink({!r})",
        "os.rename({!r}, 'mine')",
        "os.link({!r}, 'mine')",
        "os.symlink({!r}, 'mine'); open('mine')",
        "os.symlink({!r}, 'mine'); open('mine', 'w')",
        "open('mine', 'w'); os.link('mine', {!r} + '2')",
        "open('mine', 'w'); os.rename('mine', {!r} + '2')",
        "os.mkdir({!r} + '2')",
        "os.mkfifo({!r} + '2')",
        "os.setxattr({!r}, 'user.x', b'1')",
        "os.chmod({!r}, 0o600)",
    ],
)
def test_files_of_others_are_out_of_reach(statement: str, open_file: Path) -> None:
    assert _tries(statement.format(str(open_file))) in ("PermissionError", "OSError")


@pytest.mark.parametrize(
    "path", ["/", "/tmp", "/home", "/proc", "/proc/self", "/dev", "/dev/shm", "/sys", "/etc"]
)
def test_folders_of_the_host_cannot_be_listed(path: str) -> None:
    assert _tries(f"os.listdir({path!r})") == "PermissionError"


@pytest.mark.parametrize(
    "action",
    [
        "os.kill(pid, 0)",
        "os.setpriority(os.PRIO_PROCESS, pid, 19)",
        "os.sched_setaffinity(pid, [0])",
        "__import__('resource').prlimit(pid, 7)",
        "open(f'/proc/{pid}/environ')",
        "os.readlink(f'/proc/{pid}/exe')",
        "open(f'/proc/{pid}/root/etc/passwd')",
    ],
)
@pytest.mark.parametrize("whose", ["os.getppid()", "1"])
def test_processes_of_others_are_out_of_reach(action: str, whose: str) -> None:
    assert _tries(f"pid = {whose}; {action}") == "PermissionError"


@pytest.mark.parametrize("family", [socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, 16, 17, 40])
def test_there_is_no_socket(family: int) -> None:
    assert _tries(f"socket.socket({int(family)}, 2)") == "PermissionError"


def test_a_pair_of_sockets_talks_to_itself_alone() -> None:
    assert _tries("a, b = socket.socketpair(); a.send(b'x'); assert b.recv(1) == b'x'") == ""
    assert _tries("socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)") == "PermissionError"
    assert _tries("socket.socketpair()[0].connect('/run/x')") == "PermissionError"


@pytest.mark.parametrize(
    "end",
    [
        "pass",
        "1 / 0",
        "while True: pass",
        "os.kill(os.getpid(), 9)",
        "os.kill(os.getpid(), 19)",
        "os.kill(0, 9)",
    ],
)
def test_nothing_is_alive_after_the_answer(end: str) -> None:
    code = (
        "import ctypes, os, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\n"
        "for _ in range(5):\n  if os.fork() == 0:\n    os.setsid()\n    if os.fork(): os._exit(0)\n"
        f"    for fd in range(3): os.close(fd)\n    time.sleep(60)\ntime.sleep(0.1)\n{end}"
    )

    async def use(runner: ZygoteRunner) -> list[Path]:
        await runner.run(RunRequest(code, timeout=1.5))
        return _of_programs()

    assert _with_runner(use) == []


@pytest.mark.parametrize("leave", ["", "os._exit(0)", "os.setsid()"])
def test_a_fork_bomb_without_end_loses(leave: str) -> None:
    bomb = f"import os\nwhile True:\n  try:\n    if os.fork(): {leave or 'pass'}\n  except OSError: pass"
    other = "import os, time\ntime.sleep(1)\nprint(os.waitpid(os.fork() or os._exit(3), 0)[1] >> 8)"

    async def use(runner: ZygoteRunner) -> tuple[str, str, list[Path]]:
        neighbour = asyncio.ensure_future(runner.run(RunRequest(other, timeout=60)))
        await runner.run(RunRequest(bomb, timeout=1.5))
        left = _of_programs()
        after = await runner.run(RunRequest("print('after')", timeout=60))
        return (await neighbour).result.stdout, after.result.stdout, left[1:]  # the neighbour may be alive

    assert _with_runner(use) == ("3\n", "after\n", [])


def test_programs_at_the_same_time_have_different_users() -> None:
    code = "import os, time; time.sleep(0.3); print(os.getuid())"
    seen = {result.stdout for result in _results(*[code] * 20)}
    assert len(seen) == 20


def test_a_server_that_is_killed_leaves_nothing() -> None:
    code = (
        "import asyncio, os, sys, threading\nfrom recipe.retool.sandbox.protocol import RunRequest\n"
        "from recipe.retool.sandbox.zygote.runner import ZygoteRunner\n"
        "program = 'import os, time; os.fork() or os.setsid(); time.sleep(60)'\n"
        "async def main():\n    runner = ZygoteRunner(python=sys.argv[1], container=True)\n"
        "    run = asyncio.ensure_future(runner.run(RunRequest(program, timeout=60)))\n"
        "    await asyncio.sleep(2); print('ready', flush=True); await run\nasyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", code, _PYTHON], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        assert len(_of_programs()) == 2
        server.kill()
    until = time.monotonic() + 10
    while _of_programs() and time.monotonic() < until:
        time.sleep(0.05)
    assert _of_programs() == []


def test_users_are_claimed_once() -> None:
    one, two = Claim(1), Claim(1)
    try:
        assert len(one.uids) == len(two.uids) == BLOCK
        assert not set(one.uids) & set(two.uids)
        assert all(FIRST <= uid <= LAST for uid in one.uids + two.uids)
    finally:
        one.close()
        two.close()


def test_folders_go_whatever_is_in_them(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(open_folder))
    code = (
        "import os\nos.mkdir('locked'); open('locked/f', 'w').close(); os.chmod('locked', 0)\n"
        "os.mkdir('sticky'); open('sticky/f', 'w').close(); os.chmod('sticky', 0o1000)\n"
        "os.symlink('/usr', 'link'); os.mkfifo('pipe')\n"
        "for _ in range(1500):\n    os.mkdir('d'); os.chdir('d')\nprint('done')"
    )

    async def use(runner: ZygoteRunner) -> list[str]:
        request = RunRequest(code, fetch_files=("none",), timeout=60)
        results = [(await runner.run(request)).result for _ in range(3)]
        assert [result.status for result in results] == [ExecutionStatus.OK] * 3, results
        until = time.monotonic() + 20
        while (left := list(open_folder.glob("*/*/*"))) and time.monotonic() < until:
            await asyncio.sleep(0.05)
        return [path.name for path in left]

    assert _with_runner(use) == []
    assert list(open_folder.iterdir()) == []


def test_links_are_not_followed_when_a_folder_goes(tmp_path: Path) -> None:
    kept, gone = tmp_path / "kept", tmp_path / "above" / "gone"
    kept.mkdir()
    (kept / "file").touch()
    (gone / "sub").mkdir(parents=True)
    (gone / "link").symlink_to(kept)
    (gone / "sub" / "link").symlink_to(kept / "file")
    keeper.remove(str(gone), str(gone.parent))
    assert (kept / "file").exists()
    assert list(gone.parent.iterdir()) == []
