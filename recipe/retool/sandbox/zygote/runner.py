"""A :class:`recipe.retool.sandbox.protocol.Runner` on fork servers."""

import asyncio
import itertools
import logging
import os
import sys
import time

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.ending import result_of
from recipe.retool.sandbox.limits import BASE_MB, Interpreter, Limits
from recipe.retool.sandbox.protocol import RunOutcome, RunRequest
from recipe.retool.sandbox.session import ProgramSession, SessionRequest, program
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.workdir import confined
from recipe.retool.sandbox.zygote.cgroups import Group, find_cgroups, programs_memory_mb
from recipe.retool.sandbox.zygote.container import Quarters
from recipe.retool.sandbox.zygote.files import fetch
from recipe.retool.sandbox.zygote.fleet import Fleet
from recipe.retool.sandbox.zygote.kinds import KINDS, Kind
from recipe.retool.sandbox.zygote.messages import CONTROL_FD, HAND_OUT, HAS_CONTROL, Job, Report
from recipe.retool.sandbox.zygote.process import BrokenRun, Zygote, ZygoteLost
from recipe.retool.sandbox.zygote.seccomp import compiled_filter
from recipe.retool.sandbox.zygote.session import KILL_SECONDS, STUCK, ZygoteProcess, note_of
from recipe.retool.sandbox.zygote.wires import Wires

logger = logging.getLogger(__name__)
# Sessions do not say what they will import: the kind with most of what programs use.
_SESSION_KIND = "import sympy"
_SLACK_MB = 64
_MIB = 1 << 20


class ZygoteRunner:
    """Runs every program in a child of a fork server, in namespaces or at least as a user of its own.

    A fork server that dies or stops answering is replaced, and its programs are run once more.

    Args:
        limits: Bounds of a run.
        python: Interpreter of the programs.
        kinds: Sorts of fork servers; see :mod:`recipe.retool.sandbox.zygote.kinds`.
        scratch_mb: Most MiB in files of one program.
        isolation: Names of the walls that a probe found, for the server's health page.
        container: No namespaces, but users, landlock and a stricter filter; see :mod:`cell`.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        python: str = sys.executable,
        kinds: tuple[Kind, ...] = KINDS,
        scratch_mb: int = 128,
        isolation: tuple[str, ...] = (),
        container: bool = False,
    ) -> None:
        self._limits = limits or Limits()
        self.isolation = isolation
        bpf, self.no_filter = compiled_filter(alone=container)
        roots, self.no_cgroup = find_cgroups()
        self._group = Group(roots, programs_memory_mb()) if roots else None
        groups = self._group.entries if self._group else []
        interpreter = Interpreter.probe(python)
        self._quarters = Quarters(len(kinds)) if container else None
        self.fleet = Fleet(interpreter, bpf, kinds, scratch_mb, groups, quarters=self._quarters)
        self._numbers = itertools.count(1)

    async def run(self, request: RunRequest) -> RunOutcome:
        """Run one program. Raises SandboxError for a bad file path; all else is in the outcome."""
        if request.timeout <= 0:
            return RunOutcome(ExecutionResult(ExecutionStatus.TIMEOUT))
        for name in (*request.files, *request.fetch_files):
            confined(name)
        started = time.monotonic()
        for place in ("first", "second"):
            try:
                zygote = await self.fleet.zygote_for(request.code)
                return await self._execute(zygote, request)
            except ZygoteLost as error:  # not the program's doing, which cannot reach it
                logger.warning("%s try to run a program: %s", place, error)
                reason = str(error)
            except BrokenRun as error:
                reason = str(error)
                break
        seconds = time.monotonic() - started
        return RunOutcome(ExecutionResult(ExecutionStatus.UNAVAILABLE, message=reason, seconds=seconds))

    async def open_session(self, request: SessionRequest) -> ProgramSession:
        """Start the program of a session; SandboxError when no fork server can."""
        reason = ""
        for place in ("first", "second"):
            session = ProgramSession(self._limits)
            try:
                await self._begin(session, request)
                return session
            except ZygoteLost as error:
                session.discard()
                logger.warning("%s try to open a session: %s", place, error)
                reason = str(error)
            except BaseException:
                session.discard()
                raise
        raise SandboxError(reason)

    async def _begin(self, session: ProgramSession, request: SessionRequest) -> None:
        zygote = await self.fleet.zygote_for(_SESSION_KIND)
        number = next(self._numbers)
        job = self._job(number, zygote, request.memory_limit_mb, request.seconds, HAS_CONTROL)
        call = await zygote.submit(job, program(CONTROL_FD).encode(), session.theirs)
        session.attach(ZygoteProcess(zygote, number, call, self._group))

    async def aclose(self) -> None:
        """Kill every program and the fork servers."""
        self.fleet.close()
        if self._group is not None:
            self._group.close()
        if self._quarters is not None:
            await asyncio.to_thread(self._quarters.close)

    async def _execute(self, zygote: Zygote, request: RunRequest) -> RunOutcome:
        timeout = self._limits.timeout(request.timeout)
        started = time.monotonic()
        number = next(self._numbers)
        with Wires(request, self._limits, on_flood=lambda: zygote.kill(number)) as wires:
            try:
                job = self._job(number, zygote, request.memory_limit_mb, timeout, wires.flags)
                call = await zygote.submit(job, wires.code, wires.theirs)
            finally:
                wires.close_theirs()
            try:
                in_time = await _end(zygote, number, call, timeout)
                seconds = time.monotonic() - started
                folder = zygote.folder(number)
                files = await _fetch(folder, request.fetch_files) if folder >= 0 else {}
            finally:
                if wires.flags & HAND_OUT:
                    zygote.forget(number)
            stdout, stderr = wires.texts()
        end = call.result()
        stderr += note_of(end, self._group)
        result = result_of(end.status, in_time, stdout, stderr, seconds, wires.flooded)
        return RunOutcome(result, files)

    def _job(self, number: int, zygote: Zygote, asked_mb: int, timeout: float, flags: int) -> Job:
        memory_mb = self._limits.memory(asked_mb) + _SLACK_MB
        memory, *others = self._limits.rlimits(timeout, asked_mb, self._limits.processes)
        # What the preloaded modules take is there before the program asks for anything.
        memory += max(0, zygote.ready.result() + _SLACK_MB - BASE_MB) * _MIB
        return Job(number, (memory, *others), memory_mb, flags)


async def _fetch(folder: int, names: tuple[str, ...]) -> dict[str, bytes]:
    try:
        return await asyncio.to_thread(fetch, folder, names)
    finally:
        os.close(folder)


async def _end(zygote: Zygote, number: int, call: "asyncio.Future[Report]", timeout: float) -> bool:
    """Wait until nothing of the run is alive; True when it ended by itself.

    A timer and one future, not ``asyncio.wait_for``: at hundreds of runs a second each task counts.
    """
    loop = asyncio.get_running_loop()
    late = False

    def end() -> None:
        nonlocal late
        late = True
        zygote.kill(number)

    timer = loop.call_later(timeout, end)
    guard = loop.call_later(timeout + KILL_SECONDS, zygote.close, STUCK)
    call.add_done_callback(lambda _: guard.cancel())
    try:
        await asyncio.shield(call)
        return not late
    except asyncio.CancelledError:
        zygote.kill(number)
        await asyncio.wait([call])  # not for ever: there is the guard
        raise
    finally:
        timer.cancel()
