"""What a snippet's process may use: limits, environment, user and import path."""

import json
import math
import os
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.procs import tasks_of

_MIB = 1024 * 1024
NOBODY = 65534
# Address space of interpreter, numpy, scipy and sympy before the program allocates anything itself.
BASE_MB = 512
_ASK = (
    "import json, os, sys; bin = os.path.dirname(os.path.realpath(sys.executable)); "
    "print(json.dumps([sys.path, [sys.prefix, sys.exec_prefix, sys.base_prefix, os.path.dirname(bin)]]))"
)
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TZ")


@dataclass(frozen=True)
class Limits:
    """Bounds of one run; the request chooses time and memory below them.

    Attributes:
        max_timeout: Longest wall-clock time in seconds, whatever the request says.
        max_memory_mb: Most memory in MiB, also for requests that set none.
        output_bytes: Most bytes kept of each of stdout and stderr.
        flood_bytes: A program that prints more than this on one stream is killed.
        file_mb: Largest file in MiB that a program may write.
        open_files: Most open files of a process.
        processes: Most processes and threads of all snippets together (not for a server run as root
            that cannot change user: the kernel exempts root).
    """

    max_timeout: float = 300.0
    max_memory_mb: int = 4096
    output_bytes: int = 1 * _MIB
    flood_bytes: int = 64 * _MIB
    file_mb: int = 64
    open_files: int = 256
    processes: int = 512

    def timeout(self, asked: float) -> float:
        """Time limit of a run in seconds."""
        return min(asked, self.max_timeout)

    def memory(self, asked_mb: int) -> int:
        """Memory limit of a run in MiB; 0 or less asks for the most."""
        return self.max_memory_mb if asked_mb <= 0 else min(asked_mb, self.max_memory_mb)

    def rlimits(self, timeout: float, memory_limit_mb: int, processes: int) -> list[int]:
        """Values in the order of ``bootstrap._set_limits``; -1 leaves one alone."""
        memory = self.memory(memory_limit_mb)
        # The clock on the wall ends a run; CPU time only bounds what a dead server leaves behind.
        cpu = 2 * math.ceil(timeout) + 2
        return [(memory + BASE_MB) * _MIB, cpu, self.file_mb * _MIB, self.open_files, processes]


@dataclass(frozen=True)
class Interpreter:
    """The Python that runs snippets, asked once for its import path."""

    executable: str
    path: tuple[str, ...] = field(default=())
    prefixes: tuple[str, ...] = field(default=())

    @classmethod
    def probe(cls, executable: str) -> "Interpreter":
        """Start ``executable`` once; SandboxError when it is not a working Python."""
        command = [executable, "-I", "-c", _ASK]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            path, prefixes = json.loads(done.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            raise SandboxError(f"{executable} is not a working Python interpreter: {error}") from error
        return cls(executable, tuple(entry for entry in path if os.path.exists(entry)), tuple(prefixes))

    def open_to_all(self) -> bool:
        """True when an unprivileged user can read this interpreter and its packages."""
        return all(_open_to_all(entry) for entry in (self.executable, *self.path))


def _open_to_all(path: str) -> bool:
    real = Path(os.path.realpath(path))
    try:
        folders = all(parent.stat().st_mode & 0o001 for parent in real.parents)
        return folders and real.stat().st_mode & 0o004 != 0
    except OSError:
        return False


def unprivileged_user(interpreter: Interpreter) -> tuple[int, int]:
    """(uid, gid) to run snippets as: nobody for a server that is root and can; else (-1, -1), no change."""
    if os.geteuid() == 0 and interpreter.open_to_all():
        return NOBODY, NOBODY
    return -1, -1


class ProcessLimit:
    """RLIMIT_NPROC for the next run. It counts all threads of a user, so it starts from those there are."""

    def __init__(self, uid: int, allowance: int) -> None:
        self._uid = os.geteuid() if uid < 0 else uid
        self._allowance = allowance
        self._value = -1
        self._until = 0.0

    def value(self) -> int:
        """The limit, or -1 for root; counted at most every two seconds."""
        if self._uid != 0 and time.monotonic() > self._until:
            self._value = tasks_of(self._uid) + self._allowance
            self._until = time.monotonic() + 2.0
        return self._value


def environment(home: str, source: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The environment of a snippet: a fixed list, never the server's own (it may hold tokens).

    Args:
        home: Working directory of the run; also HOME and TMPDIR.
        source: The server's environment; only PATH, LD_LIBRARY_PATH and TZ are taken from it.
    """
    kept = {key: value for key, value in source if key in _KEPT_VARIABLES}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    fixed = {
        "HOME": home,
        "TMPDIR": home,
        "LANG": "C.UTF-8",
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",  # the same program prints the same set order in training and evaluation
        "MALLOC_ARENA_MAX": "2",  # each further arena takes 64 MiB of address space
        "MPLBACKEND": "Agg",
    }
    return {**kept, **threads, **fixed}


def usable_cores() -> int:
    """CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
