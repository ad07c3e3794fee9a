"""The fork servers of one runner: which one a program goes to, and what happens when one is lost."""

import asyncio
import logging
from collections.abc import Sequence

from recipe.retool.sandbox.limits import Interpreter
from recipe.retool.sandbox.zygote.kinds import Kind, kind_of
from recipe.retool.sandbox.zygote.process import Zygote, ZygoteLost

logger = logging.getLogger(__name__)
_START_SECONDS = 60.0


class Fleet:
    """One fork server a kind, each started when its first program comes.

    Args:
        interpreter: Python of the programs.
        bpf: Compiled seccomp filter; empty for none.
        kinds: The kinds; at least one.
        scratch_mb: Most MiB in files of one program.
        groups: Descriptors of the control groups to enter.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        bpf: bytes,
        kinds: tuple[Kind, ...],
        scratch_mb: int,
        groups: Sequence[int] = (),
    ) -> None:
        self._interpreter, self._bpf, self._scratch_mb = interpreter, bpf, scratch_mb
        self._groups = groups
        self._kinds = kinds
        self._zygotes: dict[str, Zygote] = {}
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Process ids of the fork servers that are alive."""
        return [zygote.pid for zygote in self._zygotes.values() if not zygote.lost]

    async def zygote_for(self, code: str) -> Zygote:
        """The fork server for a program, ready to fork; ZygoteLost when it does not come up."""
        return await self.ready(kind_of(code, self._kinds))

    async def ready(self, kind: Kind) -> Zygote:
        """The fork server of a kind, started if need be; ZygoteLost when it does not come up."""
        if self._closed:
            raise ZygoteLost("the sandbox is closed")
        zygote = self._zygotes.get(kind.name)
        if zygote is None or zygote.lost:
            if zygote is not None:
                logger.warning("the %s fork server is replaced: %s", kind.name, zygote.lost)
            zygote = Zygote(self._interpreter, self._bpf, kind.preload, self._scratch_mb, self._groups)
            self._zygotes[kind.name] = zygote
        if not zygote.ready.done():
            await asyncio.wait([zygote.ready], timeout=_START_SECONDS)
            if not zygote.ready.done():
                zygote.close(f"it did not start in {_START_SECONDS:g} s")
        zygote.ready.result()
        return zygote

    def close(self) -> None:
        """Kill every program and the fork servers."""
        self._closed = True
        for zygote in self._zygotes.values():
            zygote.close()
