"""A :class:`recipe.retool.sandbox.protocol.Runner` on fork servers."""

import asyncio
import itertools
import logging
import sys
import time

from recipe.retool.sandbox.ending import first_of, result_of
from recipe.retool.sandbox.limits import BASE_MB, Interpreter, Limits
from recipe.retool.sandbox.protocol import RunOutcome, RunRequest
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.workdir import confined
from recipe.retool.sandbox.zygote.files import fetch
from recipe.retool.sandbox.zygote.messages import Job
from recipe.retool.sandbox.zygote.process import Zygote, ZygoteLost
from recipe.retool.sandbox.zygote.seccomp import compiled_filter
from recipe.retool.sandbox.zygote.wires import Wires

logger = logging.getLogger(__name__)
PRELOAD = ("numpy", "sympy")
_START_SECONDS = 60.0
_KILL_SECONDS = 5.0
_SLACK_MB = 64
_MIB = 1 << 20


class ZygoteRunner:
    """Runs every program in a child of a fork server, in namespaces of its own.

    A fork server that dies or stops answering is replaced; its calls end as UNAVAILABLE.

    Args:
        limits: Bounds of a run.
        python: Interpreter of the programs.
        preload: Modules that are there without an import's cost, where they are installed.
        zygotes: Number of fork servers; programs go to the one with the fewest.
        scratch_mb: Most MiB in files of one program.
        isolation: Names of the walls that a probe found, for the server's health page.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        python: str = sys.executable,
        preload: tuple[str, ...] = PRELOAD,
        zygotes: int = 1,
        scratch_mb: int = 128,
        isolation: tuple[str, ...] = (),
    ) -> None:
        self._limits = limits or Limits()
        self._interpreter = Interpreter.probe(python)
        self._preload = preload
        self._scratch_mb = scratch_mb
        self.isolation = isolation
        self._bpf, self.no_filter = compiled_filter()
        self._zygotes: list[Zygote | None] = [None] * zygotes
        self._numbers = itertools.count(1)
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Process ids of the fork servers that are alive."""
        return [zygote.pid for zygote in self._zygotes if zygote is not None and not zygote.lost]

    async def run(self, request: RunRequest) -> RunOutcome:
        """Run one program. Raises SandboxError for a bad file path; all else is in the outcome."""
        if request.timeout <= 0:
            return RunOutcome(ExecutionResult(ExecutionStatus.TIMEOUT))
        for name in (*request.files, *request.fetch_files):
            confined(name)
        started = time.monotonic()
        try:
            zygote = await self.start()
            return await self._execute(zygote, request)
        except ZygoteLost as error:
            seconds = time.monotonic() - started
            result = ExecutionResult(ExecutionStatus.UNAVAILABLE, message=str(error), seconds=seconds)
            return RunOutcome(result)

    async def start(self) -> Zygote:
        """The fork server with the least to do, started if need be; ZygoteLost when it does not come up."""
        if self._closed:
            raise ZygoteLost("the sandbox is closed")
        for place, zygote in enumerate(self._zygotes):
            if zygote is None or zygote.lost:
                if zygote is not None:
                    logger.warning("a fork server is replaced: %s", zygote.lost)
                self._zygotes[place] = Zygote(self._interpreter, self._bpf, self._preload)
        chosen = min((one for one in self._zygotes if one is not None), key=lambda one: one.running)
        if not chosen.ready.done():
            await asyncio.wait([chosen.ready], timeout=_START_SECONDS)
            if not chosen.ready.done():
                chosen.close(f"it did not start in {_START_SECONDS:g} s")
        chosen.ready.result()
        return chosen

    async def aclose(self) -> None:
        """Kill every program and the fork servers."""
        self._closed = True
        for zygote in self._zygotes:
            if zygote is not None:
                zygote.close()

    async def _execute(self, zygote: Zygote, request: RunRequest) -> RunOutcome:
        timeout = self._limits.timeout(request.timeout)
        started = time.monotonic()
        with Wires(request, self._limits) as wires:
            job = self._job(zygote.ready.result().memory_mb, request, timeout)
            try:
                call = await zygote.submit(job, wires.theirs)
            finally:
                wires.close_theirs()
            try:
                in_time = await first_of(asyncio.shield(call), wires.flooded.wait(), timeout=timeout)
            finally:
                # Shielded: a caller who hangs up now must not keep the fork server from its other programs.
                await asyncio.shield(_kill(zygote, job.number, call))
            seconds = time.monotonic() - started
            code = call.result()
            stdout, stderr = await wires.texts()
            folder = wires.folder()
            files = await asyncio.to_thread(fetch, folder, request.fetch_files) if folder >= 0 else {}
        result = result_of(code, in_time, stdout, stderr, seconds, wires.flooded.is_set())
        return RunOutcome(result, files)

    def _job(self, base_mb: int, request: RunRequest, timeout: float) -> Job:
        memory, *others = self._limits.rlimits(timeout, request.memory_limit_mb, self._limits.processes)
        # What the preloaded modules take is there before the program asks for anything.
        memory += max(0, base_mb + _SLACK_MB - BASE_MB) * _MIB
        return Job(
            next(self._numbers), (memory, *others), self._scratch_mb, hand_out=bool(request.fetch_files)
        )


async def _kill(zygote: Zygote, number: int, call: "asyncio.Future[int]") -> None:
    """Nothing of the run is alive after this; a fork server that cannot see to it is closed."""
    if call.done():
        return
    try:
        await zygote.kill(number)
        await asyncio.wait([call], timeout=_KILL_SECONDS)
    finally:
        if not call.done():
            zygote.close(f"it did not end a program in {_KILL_SECONDS:g} s")
