"""Runs a snippet in a process of its own, with limits and a clean end.

What it does: one process group per run, killed at the end in any case; limits on time, memory per
process, file size, open files and (not as root) processes; an environment from a fixed list; a private
working directory that is removed; bounded output, read while the program runs; user ``nobody`` when the
server is root and the interpreter is readable for everyone.

What it does NOT do: it is no security boundary. A program can read every file that its user can read,
use the network, see other processes, signal processes of the same user (other snippets, and the server
itself when it runs as that user), fill the disk with many files, and use the memory limit once in every
process that it forks. Run it on a machine, or in a container, that holds nothing of value.
"""

import asyncio
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from recipe.retool.sandbox.ending import first_of, flood_note, result_of
from recipe.retool.sandbox.limits import Interpreter, Limits, ProcessLimit, environment, unprivileged_user
from recipe.retool.sandbox.output import CappedOutput, PipeReader
from recipe.retool.sandbox.procs import kill_group, kill_orphans, wait_exit
from recipe.retool.sandbox.protocol import RunOutcome, RunRequest
from recipe.retool.sandbox.session import End, ProgramSession, SessionRequest, program
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.workdir import WorkDir, confined

logger = logging.getLogger(__name__)


class SubprocessRunner:
    """A :class:`recipe.retool.sandbox.protocol.Runner` with one subprocess a run.

    Args:
        limits: Bounds of a run.
        python: Interpreter of the snippets.
        owns_process: True in a process that does nothing else: its stray children are then snippets'
            daemons and are killed after each run. Needs ``procs.adopt_orphans()`` first.
    """

    def __init__(
        self, limits: Limits | None = None, python: str = sys.executable, owns_process: bool = False
    ) -> None:
        self._limits = limits or Limits()
        self._interpreter = Interpreter.probe(python)
        self._user = unprivileged_user(self._interpreter)
        if os.geteuid() == 0 and self._user[0] < 0:
            logger.warning("snippets run as ROOT: user nobody cannot read the interpreter %s", python)
        self._processes = ProcessLimit(self._user[0], self._limits.processes)
        self._bootstrap = Path(__file__).with_name("bootstrap.py").read_text(encoding="utf-8")
        self._owns_process = owns_process
        self._live: set[int] = set()
        self._sessions: set[asyncio.Task[End]] = set()
        self._root = tempfile.mkdtemp(prefix="retool-sandbox-")
        os.chmod(self._root, 0o711)  # nobody must get through to its own folder, but not list the others

    async def run(self, request: RunRequest) -> RunOutcome:
        """Run one program. Raises SandboxError for a bad file path; all else is in the outcome."""
        if request.timeout <= 0:
            return RunOutcome(ExecutionResult(ExecutionStatus.TIMEOUT))
        for name in request.fetch_files:
            confined(name)
        workdir = WorkDir(self._root, *self._user)
        try:
            workdir.fill(request.code, request.files)
            result = await self._execute(workdir, request)
            return RunOutcome(result, workdir.fetch(request.fetch_files))
        finally:
            # In a thread: a program may leave a million files.
            await asyncio.to_thread(workdir.remove)

    async def open_session(self, request: SessionRequest) -> ProgramSession:
        """Start the program of a session."""
        workdir = WorkDir(self._root, *self._user)
        session = ProgramSession(self._limits)
        try:
            workdir.fill(program(session.theirs[-1]), {})
            run = RunRequest("", memory_limit_mb=request.memory_limit_mb)
            process = self._spawn(workdir, run, request.seconds, tuple(session.theirs))
        except BaseException:
            session.discard()
            await asyncio.to_thread(workdir.remove)
            raise
        self._live.add(process.pid)
        end = asyncio.create_task(self._session_end(process, workdir))
        self._sessions.add(end)
        end.add_done_callback(self._sessions.discard)
        session.attach(_SessionProcess(process, end))
        return session

    async def _session_end(self, process: "subprocess.Popen[bytes]", workdir: WorkDir) -> End:
        """Wait for the end of a session's program, and leave nothing of it."""
        await wait_exit(process)
        await self._end(process, [])
        await asyncio.to_thread(workdir.remove)
        return End(process.returncode)

    async def aclose(self) -> None:
        """Kill every run and remove every file."""
        for pid in list(self._live):
            kill_group(pid)
        await asyncio.gather(*self._sessions, return_exceptions=True)
        if self._owns_process:
            await kill_orphans(())
        shutil.rmtree(self._root, ignore_errors=True)

    async def _execute(self, workdir: WorkDir, request: RunRequest) -> ExecutionResult:
        timeout = self._limits.timeout(request.timeout)
        started = time.monotonic()
        process = self._spawn(workdir, request, timeout)
        self._live.add(process.pid)
        flooded = asyncio.Event()
        outputs = [CappedOutput(self._limits.output_bytes) for _ in range(2)]
        readers = [
            PipeReader(os.dup(pipe.fileno()), output, self._limits.flood_bytes, flooded.set)
            for pipe, output in zip(_pipes(process), outputs, strict=True)
        ]
        for pipe in _pipes(process):
            pipe.close()
        try:
            in_time = await first_of(wait_exit(process), flooded.wait(), timeout=timeout)
            seconds = time.monotonic() - started
        finally:
            # Shielded: a caller may hang up in the middle of the end, which must come all the same.
            await asyncio.shield(self._end(process, readers))
        stdout, stderr = (output.text() for output in outputs)
        if flooded.is_set():
            stderr += flood_note(self._limits.flood_bytes)
        return result_of(process.returncode, in_time, stdout, stderr, seconds, flooded.is_set())

    def _spawn(
        self, workdir: WorkDir, request: RunRequest, timeout: float, fds: tuple[int, ...] = ()
    ) -> "subprocess.Popen[bytes]":
        """Start a program; ``fds``: standard output, standard error and what else it is to have."""
        rlimits = self._limits.rlimits(timeout, request.memory_limit_mb, self._processes.value())
        numbers = [os.getpid(), *self._user, *rlimits]
        # -S: what site would do (reading .pth files) takes longer than the rest of the start.
        options = ["-s", "-S", "-B", "-c", self._bootstrap]
        arguments = [str(workdir.code), *map(str, numbers), *self._interpreter.path]
        stdin = workdir.open_stdin(request.stdin)
        try:
            return subprocess.Popen(
                [self._interpreter.executable, *options, *arguments],
                stdin=stdin,
                stdout=fds[0] if fds else subprocess.PIPE,
                stderr=fds[1] if fds else subprocess.PIPE,
                pass_fds=fds[2:],
                cwd=workdir.cwd,
                env=environment(str(workdir.cwd), os.environ.items()),
                start_new_session=True,
            )
        finally:
            os.close(stdin)

    async def _end(self, process: "subprocess.Popen[bytes]", readers: list[PipeReader]) -> None:
        """Nothing of the run is alive after this, and its pipes are read and closed."""
        try:
            kill_group(process.pid)
            await wait_exit(process)
            kill_group(process.pid)  # a child that joined the group after the first signal
            self._live.discard(process.pid)
            if self._owns_process:
                await kill_orphans(self._live)
            # Only a daemon that got away can still hold a pipe: do not wait for it.
            if readers:
                await asyncio.wait([reader.finished for reader in readers], timeout=1.0)
        finally:
            for reader in readers:
                reader.close()


class _SessionProcess:
    """A :class:`recipe.retool.sandbox.session.Process` that is a process of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", ended: "asyncio.Task[End]") -> None:
        self._process = process
        self.ended: asyncio.Future[End] = ended

    def kill(self) -> None:
        """Have its group killed; the task that waits for its end does the rest."""
        if self._process.returncode is None:  # else the number may be another's by now
            kill_group(self._process.pid)


def _pipes(process: "subprocess.Popen[bytes]") -> list[IO[bytes]]:
    return [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
