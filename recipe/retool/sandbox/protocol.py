"""What a sandbox server asks of whatever runs the code: one request in, one outcome out.

The server knows only :class:`Runner`. Another way to run code (a fork server with namespaces, say)
takes the place of :class:`recipe.retool.sandbox.runner.SubprocessRunner` without touching the server.
"""

import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus

# The last line of a traceback decides; numpy's own class is a MemoryError by another name.
_MEMORY_LINE = re.compile(r"^(?:[\w.]+\.)?_?(?:Array)?MemoryError\b|std::bad_alloc")
# What the kernel or libc does to a program for what it did itself.
_FAULTS = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP}
)


@dataclass(frozen=True)
class RunRequest:
    """One program to run.

    Attributes:
        code: Python source.
        stdin: Text on standard input; None gives an empty one.
        timeout: Wall-clock limit in seconds; 0 or less is over at once.
        memory_limit_mb: Memory for the program on top of the interpreter, in MiB; 0 or less: the
            runner's own cap.
        files: Files to place in the working directory before the run: relative path to bytes.
        fetch_files: Relative paths of files to hand back after the run.
    """

    code: str
    stdin: str | None = None
    timeout: float = 10.0
    memory_limit_mb: int = -1
    files: Mapping[str, bytes] = field(default_factory=dict)
    fetch_files: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunOutcome:
    """Result of one run and the files that were asked for (missing ones are left out)."""

    result: ExecutionResult
    files: Mapping[str, bytes] = field(default_factory=dict)


class Runner(Protocol):
    """Runs programs. ``run`` may be called many times at once; the server bounds how many."""

    async def run(self, request: RunRequest) -> RunOutcome:
        """Run one program; raises SandboxError only when the sandbox itself fails."""
        ...

    async def aclose(self) -> None:
        """Kill what still runs and remove every file."""
        ...


def status_of_exit(return_code: int, stderr: str) -> ExecutionStatus:
    """Status of a program that ended before its time limit, from exit code and standard error."""
    if return_code == 0:
        return ExecutionStatus.OK
    lines = stderr.rstrip().rsplit("\n", 1)
    if _MEMORY_LINE.search(lines[-1]):
        return ExecutionStatus.MEMORY
    if return_code > 0:
        return ExecutionStatus.ERROR
    return ExecutionStatus.CRASHED if -return_code in _FAULTS else ExecutionStatus.KILLED
