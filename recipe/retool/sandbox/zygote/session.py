"""The program of a session as a child of a fork server."""

import asyncio
import signal

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.session import End
from recipe.retool.sandbox.zygote.cgroups import Group
from recipe.retool.sandbox.zygote.messages import Report
from recipe.retool.sandbox.zygote.process import Zygote

KILL_SECONDS = 5.0
STUCK = f"it did not end a program in {KILL_SECONDS:g} s"
NO_MEMORY = "\nMemoryError: killed, for its processes together took too much memory"


class ZygoteProcess:
    """A :class:`recipe.retool.sandbox.session.Process`.

    Args:
        zygote: The fork server; one that does not end a program when told to is closed.
        number: Names the program there.
        call: The future of its end.
        group: The control group of all programs, if there is one.
    """

    def __init__(
        self, zygote: Zygote, number: int, call: "asyncio.Future[Report]", group: Group | None
    ) -> None:
        self._zygote, self._number, self._group = zygote, number, group
        self._loop = asyncio.get_running_loop()
        self._guard: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[End] = self._loop.create_future()
        call.add_done_callback(self._settle)

    def kill(self) -> None:
        """Have it killed with all that it started."""
        if self._guard is None and not self.ended.done():
            self._guard = self._loop.call_later(KILL_SECONDS, self._zygote.close, STUCK)
            self._zygote.kill(self._number)

    def _settle(self, call: "asyncio.Future[Report]") -> None:
        if self._guard is not None:
            self._guard.cancel()
        if (error := call.exception()) is None:
            report = call.result()
            self.ended.set_result(End(report.status, note_of(report, self._group)))
        else:
            self.ended.set_exception(SandboxError(str(error)))
            self.ended.exception()  # nobody may be waiting


def note_of(report: Report, group: Group | None) -> str:
    """What standard error says of a program that was killed for its memory; empty for others."""
    killed = report.status == -signal.SIGKILL and group is not None and group.killed()
    return NO_MEMORY if report.too_big or killed else ""
