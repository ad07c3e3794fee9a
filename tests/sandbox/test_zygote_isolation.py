"""What an isolated program cannot reach. One property a test; hosts that cannot do it skip.

Those that ask for ``_both`` hold with namespaces and without.
"""

import asyncio
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.zygote.kinds import Kind
from recipe.retool.sandbox.zygote.runner import ZygoteRunner

pytestmark = pytest.mark.namespaces


_options: dict[str, Any] = {}
_NOT_THERE = ("FileNotFoundError", "PermissionError")  # landlock says the second of everything
_NO_WAY = ("OSError", "PermissionError")  # there is none, or landlock does not even let one ask


@pytest.fixture
def _both(either: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "_options", either)


both = pytest.mark.usefixtures("_both")


def _results(*codes: str, timeout: float = 20.0, memory: int = 256) -> list[ExecutionResult]:
    async def all_at_once() -> list[ExecutionResult]:
        runner = ZygoteRunner(kinds=(Kind("bare"),), **_options)
        requests = [RunRequest(code, timeout=timeout, memory_limit_mb=memory) for code in codes]
        try:
            return [one.result for one in await asyncio.gather(*map(runner.run, requests))]
        finally:
            await runner.aclose()

    return asyncio.run(all_at_once())


def _tries(statement: str, timeout: float = 20.0) -> str:
    """What a statement ends in: the name of its error, or nothing."""
    code = f"try:\n    {statement}\nexcept Exception as error:\n    print(type(error).__name__)"
    result = _results(code, timeout=timeout)[0]
    assert result.ok, result
    return result.stdout.strip()


@pytest.mark.parametrize(
    "path", ["/etc/shadow", "/etc/hostname", "/root/.bashrc", "/var/log", "/home", "/sys"]
)
def test_host_files_are_not_there(path: str) -> None:
    assert _tries(f"__import__('os').stat({path!r})") == "FileNotFoundError"


@both
def test_a_file_in_the_hosts_temporary_folder_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2")
    assert _tries(f"open({str(tmp_path / 'secret')!r})") in _NOT_THERE


@both
def test_the_environment_is_not_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hunter2")
    code = (
        "import os, glob\nprint(dict(os.environ))\n"
        "for name in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try: print(open(name).read())\n"
        "    except OSError: pass"
    )
    result = _results(code)[0]
    assert result.ok
    assert "hunter2" not in result.stdout


def test_no_process_but_its_own_is_seen() -> None:
    code = "import os; print(sorted(int(name) for name in os.listdir('/proc') if name.isdigit()))"
    assert _results(code)[0].stdout == "[1, 2]\n"


@both
def test_the_loopback_of_the_host_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        assert _tries(f"__import__('socket').create_connection({address!r}, 2)") in _NO_WAY


@both
def test_there_is_no_route_anywhere() -> None:
    assert _tries("__import__('socket').create_connection(('192.0.2.1', 80), 2)") in _NO_WAY


@both
def test_abstract_sockets_of_the_host_are_out_of_reach() -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0retool-test-abstract")
        server.listen()
        call = "__import__('socket').socket(1).connect(chr(0) + 'retool-test-abstract')"
        assert _tries(call) in ("ConnectionRefusedError", "PermissionError")


@both
@pytest.mark.parametrize("path", ["/x", "/usr/x", "/etc/passwd", "/bin/x", "/dev/x"])
def test_nothing_outside_the_scratch_folder_can_be_written(path: str) -> None:
    assert _tries(f"open({path!r}, 'w')") in ("OSError", "PermissionError")


@both
def test_the_interpreter_cannot_be_changed() -> None:
    assert _tries("open(__import__('os').__file__, 'a')") in ("OSError", "PermissionError")


@both
def test_kill_minus_one_hurts_nobody_else() -> None:
    killer = "import os, signal; os.kill(-1, signal.SIGKILL); print('alive')"
    other = "import time; time.sleep(1); print('fine')"
    assert _results(other, killer)[0].stdout == "fine\n"


def test_the_parent_cannot_be_killed() -> None:
    # Landlock refuses the signal; without it the kernel drops what process 1 does not wait for.
    code = "import contextlib, os, time\nprint(os.getppid())\nwith contextlib.suppress(PermissionError):\n"
    code += "    os.kill(1, 9)\ntime.sleep(0.2); print('on')"
    assert _results(code)[0].stdout == "0\non\n"


@both
def test_the_memory_of_process_one_is_out_of_reach() -> None:
    assert _tries("open('/proc/1/mem', 'rb')") in ("PermissionError", "FileNotFoundError")


@both
def test_ptrace_is_refused() -> None:
    code = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.ptrace(0x4206, 1, 0, 0), ctypes.get_errno())"
    )
    assert _results(code)[0].stdout == "-1 1\n"


@both
def test_no_namespace_can_be_made() -> None:
    code = (
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "print([libc.unshare(flag) for flag in (0x10000000, 0x20000, 0x40000000)])"
    )
    assert _results(code)[0].stdout == "[-1, -1, -1]\n"


@both
def test_a_mount_cannot_be_taken_away() -> None:
    code = "import ctypes\nprint([ctypes.CDLL(None).umount2(p, 2) for p in (b'/tmp', b'/proc', b'/usr')])"
    assert _results(code)[0].stdout == "[-1, -1, -1]\n"


@both
def test_a_daemon_does_not_outlive_its_program() -> None:
    mark = "61.771"
    code = (
        "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        for fd in (0, 1, 2): os.close(fd)\n"
        f"        os.execvp('sleep', ['sleep', '{mark}'])\n    os._exit(0)\nprint('done')"
    )
    assert _results(code)[0].stdout == "done\n"
    found = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    assert not any(mark.encode() in line for line in found)


@both
def test_a_child_laid_at_the_fork_servers_door_harms_nobody() -> None:
    numbers = {"x86_64": 56, "aarch64": 220}
    code = (
        f"import ctypes, os, time\nnumber = {numbers}[os.uname().machine]\n"
        "if ctypes.CDLL(None).syscall(number, 0x8000 | 17, 0, 0, 0, 0) == 0: os._exit(0)\n"
        "time.sleep(0.2); print('on')"
    )
    other = "import time; time.sleep(1); print('fine')"
    assert [result.stdout for result in _results(code, other)] == ["on\n", "fine\n"]


@both
def test_a_fork_bomb_is_bounded_and_spares_its_neighbour() -> None:
    bomb = (
        "import os, time\nn = 0\ntry:\n    while True:\n        if os.fork() == 0: time.sleep(60)\n"
        "        n += 1\nexcept OSError: print(n)"
    )
    other = "import os, time\ntime.sleep(0.5)\nprint(os.waitpid(os.fork() or os._exit(3), 0)[1] >> 8)"
    first, second = _results(bomb, other, timeout=60)
    assert 0 < int(first.stdout) <= 512
    assert second.stdout == "3\n"


@both
def test_memory_is_limited() -> None:
    result = _results("x = []\nfor _ in range(150): x.append(bytearray(10**7))\nprint('got it')")[0]
    assert (result.status, result.stdout) == (ExecutionStatus.MEMORY, "")


def test_the_scratch_folder_is_limited() -> None:
    code = (
        "n = 0\ntry:\n    for i in range(10):\n        with open(str(i), 'wb') as file:\n"
        "            for _ in range(50): file.write(bytes(2**20)); n += 1\nexcept OSError: print(n)"
    )
    assert 0 < int(_results(code)[0].stdout) <= 128


def test_files_do_not_pass_from_one_program_to_another() -> None:
    code = (
        "import glob, time\nfor path in ('/tmp/mine', '/dev/shm/mine'): open(path, 'w').close()\n"
        "time.sleep(0.5)\nprint(sorted(glob.glob('/tmp/*mine*') + glob.glob('/dev/shm/*')))"
    )
    first, second = _results(code, code.replace("mine", "mine2"))
    assert first.stdout == "['/dev/shm/mine', '/tmp/mine']\n"
    assert second.stdout == "['/dev/shm/mine2', '/tmp/mine2']\n"


@both
def test_no_descriptor_but_the_three_is_open() -> None:
    code = "import os\nfor fd in range(3, 512):\n    try: os.fstat(fd); print(fd)\n    except OSError: pass"
    assert _results(code)[0].stdout == ""


def test_no_device_of_the_host_is_there() -> None:
    devices = {"fd", "full", "null", "random", "shm", "stderr", "stdin", "stdout", "urandom", "zero"}
    assert set(_results("import os; print(*os.listdir('/dev'))")[0].stdout.split()) == devices


def test_the_program_is_nobody_without_a_capability() -> None:
    code = (
        "import os\nprint(os.getresuid(), os.getgroups())\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNew'))])"
    )
    lines = _results(code)[0].stdout.splitlines()
    assert lines[0].startswith("(65534, 65534, 65534)")
    assert lines[1].count("'0000000000000000'") >= 4
    assert "'1'" in lines[1]


def test_the_host_name_is_not_told() -> None:
    assert _results("import socket; print(socket.gethostname())")[0].stdout == "sandbox\n"


@both
def test_the_clock_on_the_wall_ends_a_program_in_time() -> None:
    started = time.monotonic()
    result = _results("while True: pass", timeout=0.5)[0]
    assert result.status is ExecutionStatus.TIMEOUT
    assert 0.5 <= result.seconds < 1.0
    assert time.monotonic() - started < 10


def test_paths_of_the_host_are_not_told() -> None:
    code = "for name in ('1/cmdline', 'self/cgroup', 'self/mountinfo'): print(open('/proc/' + name).read())"
    told = _results(code)[0].stdout.replace("\0", " ").replace("retool.sandbox.zygote.main", "")
    # What runs it is no secret: the interpreter, and where its environment is mounted from.
    known = (sys.executable, Path(sys.prefix).name)
    assert not [word for word in told.split() if "retool" in word and not word.endswith(known)]


def test_a_crash_leaves_no_core() -> None:
    assert _tries("print(__import__('resource').getrlimit(4))") == "(1, 1)"


def _in_turn(*codes: str) -> list[ExecutionResult]:
    async def one_by_one() -> list[ExecutionResult]:
        runner = ZygoteRunner(kinds=(Kind("bare"),))
        try:
            return [(await runner.run(RunRequest(code, timeout=20.0))).result for code in codes]
        finally:
            await runner.aclose()

    return asyncio.run(one_by_one())


def test_earlier_programs_are_not_in_the_memory_of_later_ones() -> None:
    search = """
import re
found, needle, memory = set(), b"HIDDEN" + b"TEST_", open("/proc/self/mem", "rb", 0)
for line in open("/proc/self/maps"):
    place, rights = line.split()[:2]
    start, end = (int(text, 16) for text in place.split("-"))
    try:
        memory.seek(start)
        found |= set(re.findall(needle + rb"\\d+_x", memory.read(end - start if "r" in rights else 0)))
    except (OSError, ValueError, OverflowError):
        pass
print(len(found))
"""
    codes = [f"expected = 'HIDDENTEST_{number}_x'; print(len(expected))" for number in range(20)]
    assert _in_turn(*codes, search)[-1].stdout == "0\n"


@pytest.mark.parametrize("file", ["self/autogroup", "self/oom_score_adj", "1/oom_score_adj", "1/clear_refs"])
def test_proc_cannot_be_written(file: str) -> None:
    assert _tries(f"open('/proc/{file}', 'w')") == "OSError"


_MAKE = {
    "bytearray in children of a thread": (
        "import threading\ndef work():\n  for _ in range(6):\n    child()\n"
        "t = threading.Thread(target=work); t.start(); t.join()",
        "held = bytearray(90 << 20)",
    ),
    "shared memory": ("for _ in range(4): child()", "import mmap; held = mmap.mmap(-1, 100 << 20)"),
}


@pytest.mark.parametrize("how", _MAKE)
def test_memory_is_counted_however_it_is_had(how: str) -> None:
    forks, holds = _MAKE[how]
    code = (
        f"import os, time\ndef child():\n  if os.fork() == 0:\n    {holds}\n"
        "    for place in range(0, len(held), 4096): held[place] = 1\n"
        f"    time.sleep(8); os._exit(0)\n{forks}\ntime.sleep(6); print('HELD')"
    )
    result = _results(code, memory=64)[0]
    assert (result.status, result.stdout) == (ExecutionStatus.MEMORY, "")


def test_sockets_that_outlive_their_program_meet_nobody() -> None:
    leave = (
        "import socket\nsock = socket.socket(socket.AF_UNIX); sock.bind(chr(0) + 'left'); sock.listen()\n"
        "a, b = socket.socketpair(); socket.send_fds(a, [b'x'], [sock.fileno(), a.fileno(), b.fileno()])\n"
        "print('sent')"
    )
    left, seen = _in_turn(leave, "print(open('/proc/net/unix').read())")
    assert (left.stdout, "left" in seen.stdout) == ("sent\n", False)
    assert seen.ok


def test_files_of_memory_are_refused() -> None:
    assert _tries("__import__('os').memfd_create('x')") == "PermissionError"
