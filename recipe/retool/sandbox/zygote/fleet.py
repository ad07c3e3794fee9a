"""The fork servers of one runner: which one a program goes to, and what happens when one is lost."""

import asyncio
import logging
from collections.abc import Sequence

from recipe.retool.sandbox.limits import Interpreter, usable_cores
from recipe.retool.sandbox.zygote.kinds import Kind, kind_of
from recipe.retool.sandbox.zygote.process import Zygote, ZygoteLost

logger = logging.getLogger(__name__)
_START_SECONDS = 60.0
# One fork server starts some 700 programs a second, as many as two or three cores can run.
_CORES_EACH = 3
_CROWD = 8


class Fleet:
    """Fork servers by kind, started when programs come for them.

    Args:
        interpreter: Python of the programs.
        bpf: Compiled seccomp filter; empty for none.
        kinds: The kinds; at least one.
        scratch_mb: Most MiB in files of one program.
        groups: Descriptors of the control groups to enter.
        replicas: Most fork servers of one kind: each forks on one core at a time. None: one for three cores.
    """

    def __init__(
        self,
        interpreter: Interpreter,
        bpf: bytes,
        kinds: tuple[Kind, ...],
        scratch_mb: int,
        groups: Sequence[int] = (),
        replicas: int | None = None,
    ) -> None:
        self._interpreter, self._bpf, self._scratch_mb = interpreter, bpf, scratch_mb
        self._groups = groups
        self._kinds = kinds
        self._replicas = replicas or max(1, usable_cores() // _CORES_EACH)
        self._zygotes: dict[str, list[Zygote]] = {kind.name: [] for kind in kinds}
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """Process ids of the fork servers that are alive."""
        return [zygote.pid for some in self._zygotes.values() for zygote in some if not zygote.lost]

    async def zygote_for(self, code: str) -> Zygote:
        """The fork server for a program, ready to fork; ZygoteLost when it does not come up."""
        return await self.ready(kind_of(code, self._kinds))

    async def ready(self, kind: Kind) -> Zygote:
        """A fork server of a kind, started if need be; ZygoteLost when it does not come up."""
        zygote = self._least_busy(kind)
        if not zygote.ready.done():
            await asyncio.wait([zygote.ready], timeout=_START_SECONDS)
            if not zygote.ready.done():
                zygote.close(f"it did not start in {_START_SECONDS:g} s")
        zygote.ready.result()
        return zygote

    def _least_busy(self, kind: Kind) -> Zygote:
        if self._closed:
            raise ZygoteLost("the sandbox is closed")
        some = self._zygotes[kind.name]
        for lost in [zygote for zygote in some if zygote.lost]:
            logger.warning("a %s fork server is gone: %s", kind.name, lost.lost)
            some.remove(lost)
        chosen = min(some, key=lambda one: (not one.ready.done(), one.running), default=None)
        if chosen is None or (
            chosen.running >= _CROWD and chosen.ready.done() and len(some) < self._replicas
        ):
            some.append(Zygote(self._interpreter, self._bpf, kind.preload, self._scratch_mb, self._groups))
        return chosen or some[-1]

    def close(self) -> None:
        """Kill every program and the fork servers."""
        self._closed = True
        for some in self._zygotes.values():
            for zygote in some:
                zygote.close()
