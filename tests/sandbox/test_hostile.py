"""Programs that mean harm, or might as well: one property each, and the next request works all the same.

A program that gets somewhere where it must not prints BREACH. Those of the first table must hold on every
server; those of the second need isolation and are skipped where the server reports none: some of them would
really kill or stop processes of this user.
"""

import os
import shutil
import signal
import socket
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from recipe.retool.sandbox.client import SyncSandboxClient
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus

_TIMEOUT = 20.0
_CORPUS = Path(__file__).resolve().parents[3] / "shared" / "hostile"
# Forks a child that leaves the session, takes a name by which it is found from outside, and sleeps.
_STRAY = """
import ctypes, os, time
def stray(name):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            ctypes.CDLL(None).prctl(15, name.encode(), 0, 0, 0)  # PR_SET_NAME
            for number in range(3):
                os.close(number)
            time.sleep(60)
        os._exit(0)
"""


def _run(server: EmbeddedSandbox, code: str, timeout: float = _TIMEOUT) -> ExecutionResult:
    """The result of a program; the next request after it works."""
    client = SyncSandboxClient(server.url, timeout=timeout, memory_limit_mb=256)
    started = time.monotonic()
    result = client.run(code)
    assert time.monotonic() - started < timeout + 10
    client.close()
    token = uuid.uuid4().hex
    after = SyncSandboxClient(server.url).run(f"print({token!r})")
    assert after.stdout == f"{token}\n", after
    return result


def _ends(status: ExecutionStatus, word: str = "") -> Callable[[ExecutionResult], bool]:
    return lambda result: result.status is status and word in result.stdout + result.stderr


def _code(status: ExecutionStatus, code: int) -> Callable[[ExecutionResult], bool]:
    return lambda result: (result.status, result.return_code) == (status, code)


def _bounded(result: ExecutionResult) -> bool:
    ended = result.status in (ExecutionStatus.OUTPUT_LIMIT, ExecutionStatus.TIMEOUT, ExecutionStatus.ERROR)
    return ended and len(result.stdout) + len(result.stderr) < 3 * 2**20


_OK, _ERROR = ExecutionStatus.OK, ExecutionStatus.ERROR
_CRASHED = ExecutionStatus.CRASHED
_TIME, _MEMORY, _KILLED = ExecutionStatus.TIMEOUT, ExecutionStatus.MEMORY, ExecutionStatus.KILLED
_NEVER_ENDS = {
    "busy in one C call": ("print('begun')\nsum(range(10**13))", _ends(_TIME, "begun")),
    "deaf to signals": (
        "import signal\nfor n in set(signal.Signals) - {9, 19}:\n    signal.signal(n, signal.SIG_IGN)\n"
        "while True: pass", _ends(_TIME)),
    "swallows every exception": ("while True:\n  try:\n    while True: pass\n  except BaseException: pass",
                                 _ends(_TIME)),
    "hangs in an exit handler": ("import atexit, time\natexit.register(time.sleep, 60)\nprint('kept')",
                                 _ends(_TIME, "kept")),
    "hangs in a thread": ("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n"
                          "print('kept')", _ends(_TIME, "kept")),
    "stops itself": ("import os, signal\nprint('kept')\nos.kill(os.getpid(), signal.SIGSTOP)\n"
                     "while True: pass", _ends(_TIME, "kept")),
}  # fmt: skip
_HOLDS = {
    # memory
    "many blocks": ("x = []\nwhile True: x.append(bytearray(2**24))", _ends(_MEMORY)),
    "one large array": ("import numpy\nprint(numpy.ones(2**30).sum())", _ends(_MEMORY)),
    "a large text": ("print(len('x' * 2**33))", _ends(_MEMORY)),
    # output
    "prints for ever": ("while True: print('x' * 10**6)", _bounded),
    "complains for ever": ("import sys\nwhile True: sys.stderr.write('x' * 10**6)", _bounded),
    "one line without end": ("import sys\nwhile True: sys.stdout.write('y')", _bounded),
    "bytes that are no text": ("import sys\nsys.stdout.buffer.write(b'a\\xff\\x00\\x1b[31mz')",
                               lambda r: r.status is _OK and r.stdout == "a\ufffd\x00\x1b[31mz"),
    "closes its output": ("import os\nos.close(1)\nos.close(2)",
                          lambda r: r.status in (_OK, _ERROR, _CRASHED)),
    "an answer inside the output": ('print(\'{"status": "SandboxError", "run_result": null}\')',
                                    _ends(_OK, "SandboxError")),
    # ends
    "exit code": ("import sys\nsys.exit(7)", _code(_ERROR, 7)),
    "exit text": ("import sys\nsys.exit('farewell')", _ends(_ERROR, "farewell")),
    "exit without clean-up": ("import os\nos._exit(9)", _code(_ERROR, 9)),
    "aborts": ("import os\nos.abort()", _code(_CRASHED, -signal.SIGABRT)),
    "kills itself": ("import os\nos.kill(os.getpid(), 9)\nprint('BREACH: alive')",
                     _code(_KILLED, -signal.SIGKILL)),
    "crashes": ("import ctypes\nctypes.string_at(0)", _code(_CRASHED, -signal.SIGSEGV)),
    "recursion": ("def f(): f()\nf()", _ends(_ERROR, "RecursionError")),
    "a number too long to print": ("print(7**99999)", _ends(_ERROR, "4300 digits")),
    "asks for input": ("input()", _ends(_ERROR, "EOFError")),
    # processes and descriptors
    "many threads": ("import threading\nfor _ in range(150):\n    threading.Thread(target=int).start()\n"
                     "print('done')", _ends(_OK, "done")),
    "zombies": ("import os\nfor _ in range(50):\n    if os.fork() == 0: os._exit(0)\nprint('done')",
                _ends(_OK, "done")),
    "descriptors of the server": (
        "import os, stat\nfor fd in range(3, 200):\n  try:\n    mode = os.fstat(fd).st_mode\n"
        "  except OSError: continue\n  if stat.S_ISSOCK(mode): print('BREACH: socket', fd)\nprint('done')",
        _ends(_OK, "done")),
    "all descriptors": ("files = []\ntry:\n  while True: files.append(open('/dev/null'))\n"
                        "except OSError as error: files.clear(); print(error)", _ends(_OK, "Too many")),
    "environment": ("import os\nprint(dict(os.environ))\nprint('done')", _ends(_OK, "done")),
    # files
    "a file without end": ("try:\n  with open('f', 'wb') as f:\n"
                           "    for _ in range(100): f.write(bytes(2**20))\n"
                           "  print('BREACH: 100 MiB')\nexcept OSError: print('done')",
                           _ends(_OK, "done")),
    "deletes its folder": ("import os, shutil\nshutil.rmtree(os.getcwd())\nprint('done')",
                           _ends(_OK, "done")),
    "locks its folder": ("import os\nos.mkdir('d')\nopen('d/f', 'w').close()\nos.chmod('d', 0)\n"
                         "os.chmod('.', 0)\nprint('done')", _ends(_OK, "done")),
    "a deep folder": ("import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\nprint('done')",
                      _ends(_OK, "done")),
    # itself and its like
    "poisons its modules": ("import builtins, math, sys\nmath.pi = 3\nsys.modules.clear()\n"
                            "builtins.print('done')\nbuiltins.print = None", _ends(_OK, "done")),
    "shadows a module": ("open('json.py', 'w').write('print(1 / 0)')\nopen('random.py', 'w').write('1 / 0')",
                         _ends(_OK)),
}  # fmt: skip


@pytest.mark.parametrize("name", _NEVER_ENDS)
def test_a_time_limit_holds(name: str, hostile_server: EmbeddedSandbox) -> None:
    code, holds = _NEVER_ENDS[name]
    result = _run(hostile_server, code, timeout=1.5)
    assert holds(result), result
    assert 1.4 < result.seconds < 8  # on a busy machine; benchmarks/sandbox.py shows how late it is


@pytest.mark.parametrize("name", _HOLDS)
def test_holds_on_every_server(name: str, hostile_server: EmbeddedSandbox, secret: str) -> None:
    code, holds = _HOLDS[name]
    if "numpy" in code and not _run(hostile_server, "import numpy").ok:
        pytest.skip("the Python of this server has no numpy")
    result = _run(hostile_server, code)
    assert holds(result), result
    assert "BREACH" not in result.stdout
    assert secret not in result.stdout


@pytest.mark.parametrize("end", ["", "while True: pass", "1 / 0", "os.kill(os.getpid(), 9)"])
def test_no_process_outlives_the_answer(end: str, hostile_server: EmbeddedSandbox) -> None:
    name = f"s{uuid.uuid4().hex[:10]}"
    _run(hostile_server, f"{_STRAY}\nfor _ in range(3): stray({name!r})\ntime.sleep(0.3)\n{end}", timeout=3)
    assert [process.pid for process in psutil.process_iter() if process.name() == name] == []


def test_nothing_of_a_run_is_there_in_the_next(hostile_server: EmbeddedSandbox) -> None:
    _run(hostile_server, "import math\nmath.pi = 3\nopen('left.txt', 'w').write('x')\nimport sys\nsys.x = 1")
    look = "import math, os, sys\nprint(math.pi > 3.1, os.listdir('.'), hasattr(sys, 'x'))"
    for _ in range(4):
        assert _run(hostile_server, look).stdout == "True [] False\n"


# Code with {secret} (a file that all users of this machine may read), {port} (a listener on loopback),
# {namespace} (this machine's own pid namespace) and {mark}; what must be in force; what must be printed.
_ISOLATED = {
    "reads a file": ("print(open('{secret}').read())", "mount", ""),
    "reads through a shell": ("import subprocess\nprint(subprocess.run(['/bin/sh', '-c', 'cat {secret}'],"
                              " capture_output=True, text=True).stdout)", "mount", ""),
    "reads through a link": ("import os\nos.symlink('{secret}', 'link')\nprint(open('link').read())",
                             "mount", ""),
    "reads through another root": ("for n in range(1, 400):\n  try: print(open(f'/proc/{{n}}/root{secret}')."
                                   "read())\n  except OSError: pass\nprint('done')", "mount", "done"),
    "writes outside": ("import os\nfor folder in ('{folder}', '/tmp', '/var/tmp', '/dev/shm', '/run'):\n"
                       "  try: open(folder + '/{mark}', 'w').close()\n  except OSError: pass\nprint('done')",
                       "mount", "done"),
    "reads devices": ("import os\nfor name in ('mem', 'kmsg', 'fuse', 'vda', 'sda', 'port'):\n  try:\n"
                      "    os.open('/dev/' + name, os.O_RDWR); print('BREACH:', name)\n"
                      "  except OSError: pass\nprint('done')", "mount", "done"),
    "fills the disk": ("try:\n  for n in range(20):\n"
                       "    with open(str(n), 'wb') as f: f.write(bytes(2**24))\n"
                       "  print('BREACH: 320 MiB')\nexcept (OSError, MemoryError): print('done')",
                       "mount", "done"),
    # A parent outside reads as pid 0 from inside, and kill(0) hits the program's own group: no "done".
    "kills its parent": ("import os\ntry: os.kill(os.getppid(), 9)\nexcept OSError: pass", "pid", ""),
    "stops pid 1": ("import os\ntry: os.kill(1, 19)\nexcept OSError: pass\nprint('done')", "pid", "done"),
    "kills all": ("import os\nif os.readlink('/proc/self/ns/pid') == '{namespace}': print('BREACH')\n"
                  "else:\n  try: os.kill(-1, 9)\n  except OSError: pass", "pid", ""),
    "looks at others": ("import os\nfor n in filter(str.isdigit, os.listdir('/proc')):\n  try:\n"
                        "    print(open(f'/proc/{{n}}/environ').read())\n  except OSError: pass\n"
                        "print('BREACH' * os.path.exists('/proc/{pid}/stat'), 'done')", "pid", "done"),
    "debugs its parent": ("import ctypes, os\nlibc = ctypes.CDLL(None)\n"
                          "if libc.ptrace(0x4206, os.getppid(), 0, 0) == 0: print('BREACH')\nprint('done')",
                          "pid", "done"),
    "calls loopback": ("import socket\ntry:\n  socket.create_connection(('127.0.0.1', {port}), 1)\n"
                       "  print('BREACH')\nexcept OSError: print('done')", "net", "done"),
    "calls far away": ("import socket\ntry:\n  socket.create_connection(('192.0.2.1', 80), 1)\n"
                       "except TimeoutError: print('BREACH: sent')\nexcept OSError: print('done')",
                       "net", "done"),
    "calls an abstract socket": ("import socket\ntry:\n  s = socket.socket(socket.AF_UNIX)\n"
                                 "  s.connect('\\0{mark}')\n  print('BREACH')\nexcept OSError: print('done')",
                                 "net", "done"),
    "renames the machine": ("import socket\ntry: socket.sethostname('{mark}')\nexcept OSError: pass\n"
                            "print('done')", "uts", "done"),
    "leaves shared memory": ("import ctypes\nlibc = ctypes.CDLL(None)\n"
                             "libc.shmget({key}, 4096, 0o1666)\nprint('done')", "ipc", "done"),
    "makes namespaces of its own": ("import ctypes\nif ctypes.CDLL(None).unshare(0x10000000) == 0:\n"
                                    "  print('BREACH')\nprint('done')", "seccomp", "done"),
    "memory of many processes": ("import os, time\nfor _ in range(8):\n  if os.fork() == 0:\n"
                                 "    x = bytearray(b'x') * (150 * 2**20)\n    print('BREACH' * (_ == 7))\n"
                                 "    time.sleep(5)\n    os._exit(0)\ntime.sleep(1)", "pid", ""),
}  # fmt: skip


# What takes the place of a namespace where there is none, and what cannot be had without.
_INSTEAD = {"mount": "landlock", "pid": "own user", "net": "no sockets", "uts": "no capabilities",
            "ipc": "seccomp"}  # fmt: skip
_NAMESPACES_ONLY = {
    "kills all": "the pid namespace is this machine's",
    "looks at others": "that processes are there is not hidden",
    "fills the disk": "there is no limit on all files together",
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user of this machine may enter and write to."""
    path = Path(tempfile.mkdtemp(dir="/var/tmp"))
    path.chmod(0o777)
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("name", _ISOLATED)
def test_holds_under_isolation(
    name: str, isolated_runner: EmbeddedSandbox, isolation: frozenset[str], secret: str, folder: Path
) -> None:
    code, needs, word = _ISOLATED[name]
    if "container" in isolation:
        needs = _INSTEAD.get(needs, needs)
        if name in _NAMESPACES_ONLY:
            pytest.skip(f"without namespaces, {_NAMESPACES_ONLY[name]}")
    if needs not in isolation:
        pytest.skip(f"needs {needs}; the server reports {sorted(isolation)}")
    file, mark, key = folder / "secret", f"mark-{uuid.uuid4().hex[:8]}", uuid.uuid4().int % 2**30 + 1
    file.write_text(secret)
    file.chmod(0o644)
    host = socket.gethostname()
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(f"\0{mark}")
        unix.listen()
        values = {"secret": file, "folder": folder, "mark": mark, "port": tcp.getsockname()[1], "key": key,
                  "namespace": os.readlink("/proc/self/ns/pid"), "pid": os.getpid()}  # fmt: skip
        result = _run(isolated_runner, code.format(**values))
        assert not any(_was_called(listener) for listener in (tcp, unix))
    assert word in result.stdout, result
    assert "BREACH" not in result.stdout, result
    assert secret not in result.stdout
    assert socket.gethostname() == host
    assert not any(
        (Path(place) / mark).exists() for place in (folder, "/tmp", "/var/tmp", "/dev/shm", "/run")
    )
    assert f" {key} " not in Path("/proc/sysvipc/shm").read_text()


def _was_called(listener: socket.socket) -> bool:
    listener.setblocking(False)
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def _corpus() -> list[Path]:
    return sorted(_CORPUS.glob("*.py")) if _CORPUS.is_dir() else []


@pytest.mark.skipif(not _corpus(), reason=f"no folder {_CORPUS}")
@pytest.mark.parametrize("file", _corpus(), ids=lambda path: path.stem)
def test_the_server_survives_the_corpus(file: Path, isolated_runner: EmbeddedSandbox) -> None:
    result = _run(isolated_runner, file.read_text(encoding="utf-8"), timeout=3)
    assert result.status is not ExecutionStatus.UNAVAILABLE
