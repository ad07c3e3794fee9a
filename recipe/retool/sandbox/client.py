"""Clients of sandbox servers. A service that fails is a result (UNAVAILABLE), never an exception.

What a call does is decided in :mod:`recipe.retool.sandbox.conversation`; here are its two faces.
"""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import cast

import anyio

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.async_http import AsyncHttp
from recipe.retool.sandbox.balance import Balancer
from recipe.retool.sandbox.call_settings import DEFAULT_RETRIES, CallSettings
from recipe.retool.sandbox.conversation import Reply, Send, Sleep, Step, converse
from recipe.retool.sandbox.endpoints import Endpoint
from recipe.retool.sandbox.node_slots import NodeSlots
from recipe.retool.sandbox.sync_http import SyncHttp
from recipe.retool.sandbox.types import ExecutionResult
from recipe.retool.sandbox.wire import unavailable


@dataclass(frozen=True)
class _LoopState:
    """What belongs to one event loop: connections and locks cannot be used from another one."""

    http: AsyncHttp
    slots: asyncio.Semaphore
    openers: asyncio.Semaphore  # for sessions: who waits for one must not hold up blocks, which end some
    node_queue: asyncio.Lock


@dataclass
class _ProcessState:
    """What belongs to one process: after a fork, counters, locks and connections are the parent's."""

    balancer: Balancer
    pid: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)
    loops: dict[asyncio.AbstractEventLoop, _LoopState] = field(default_factory=dict)


def _run_address(endpoint: Endpoint) -> str:
    return endpoint.run


class AsyncSandboxClient:
    """Runs programs on sandbox servers; usable from several event loops and threads.

    Args:
        url: See :class:`CallSettings`, as for ``timeout``, ``memory_limit_mb``, ``retries``, ``deadline``
            and ``token``.
        concurrency: Most calls in flight per event loop; more wait here.
        node_concurrency: Most calls in flight of all processes of this user on this machine that use the
            same servers; 0: no such limit.

    Raises:
        ConfigError: A setting can never work.
    """

    def __init__(
        self,
        url: str | Sequence[str],
        timeout: float = 10.0,
        memory_limit_mb: int = 1024,
        concurrency: int = 32,
        retries: int = DEFAULT_RETRIES,
        deadline: float | None = None,
        token: str | None = None,
        node_concurrency: int = 0,
    ) -> None:
        if concurrency < 1:
            raise ConfigError(f"sandbox concurrency: {concurrency} must be 1 or more")
        self.settings = CallSettings(url, timeout, memory_limit_mb, retries, deadline, token)
        names = sorted(endpoint.base for endpoint in self.settings.endpoints)
        self._node = NodeSlots(node_concurrency, " ".join(names)) if node_concurrency else None
        self._concurrency = concurrency
        self._process = _ProcessState(self.settings.balancer())

    async def run(self, code: str, stdin: str | None = None) -> ExecutionResult:
        """Run a program. Raises nothing but CancelledError."""
        started = time.monotonic()
        end = started + self.settings.total_seconds
        process = self._process_state()
        state = self._loop_state(process)
        try:
            async with self._turn(state, end) as granted:
                if granted:
                    content = self.settings.content(code, stdin)
                    result = await self._talk(process.balancer, state, end, content)
                else:
                    result = unavailable(
                        f"no turn in {self.settings.total_seconds:g} s: too many calls at once"
                    )
        except Exception as error:  # whatever happened, training goes on
            result = unavailable(f"{type(error).__name__}: {error}")
        return self.settings.told(result, started)

    @asynccontextmanager
    async def _turn(self, state: _LoopState, end: float) -> AsyncIterator[bool]:
        """True once the call may go: a slot of this loop, then one of this machine."""
        async with AsyncExitStack() as held:
            with anyio.move_on_after(end - time.monotonic()) as scope:
                await held.enter_async_context(state.slots)
                if self._node is not None:
                    held.callback(self._node.release, await self._node.acquire(state.node_queue))
            yield not scope.cancelled_caught

    async def _talk(
        self, balancer: Balancer, state: _LoopState, end: float, content: bytes
    ) -> ExecutionResult:
        with closing(converse(balancer, self.settings.retries, end, self.settings.timeout)) as steps:
            reply: Reply = None
            while True:
                try:
                    step = steps.send(reply)
                except StopIteration as done:
                    return cast(ExecutionResult, done.value)
                reply = await self._perform(state, step, content)

    async def _perform(
        self, state: _LoopState, step: Step, content: bytes, address: Callable[[Endpoint], str] = _run_address
    ) -> Reply:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        endpoint = self.settings.endpoints[step.index]
        if isinstance(step, Send):
            return await state.http.ask(endpoint, address(endpoint), step.seconds, content)
        return await state.http.ask(endpoint, endpoint.ping, step.seconds)

    def _process_state(self) -> _ProcessState:
        if self._process.pid != os.getpid():
            self._process = _ProcessState(self.settings.balancer())
        return self._process

    def _loop_state(self, process: _ProcessState) -> _LoopState:
        loop = asyncio.get_running_loop()
        with process.lock:
            state = process.loops.get(loop)
            if state is None:
                # Not a weak dictionary: connections refer to their loop, so that none would ever go.
                for old in [old for old in process.loops if old.is_closed()]:
                    del process.loops[old]
                http = AsyncHttp(self.settings.headers, 2 * self._concurrency)
                slots, openers = (asyncio.Semaphore(self._concurrency) for _ in range(2))
                state = process.loops[loop] = _LoopState(http, slots, openers, asyncio.Lock())
            return state

    async def aclose(self) -> None:
        """Close the connections of the running loop; those of other loops are dropped after these end."""
        process = self._process_state()
        with process.lock:
            state = process.loops.pop(asyncio.get_running_loop(), None)
        if state is not None:
            await state.http.aclose()

    async def __aenter__(self) -> "AsyncSandboxClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class SyncSandboxClient:
    """The same for code without an event loop. Arguments as in :class:`CallSettings`."""

    def __init__(
        self,
        url: str | Sequence[str],
        timeout: float = 10.0,
        memory_limit_mb: int = 1024,
        retries: int = DEFAULT_RETRIES,
        deadline: float | None = None,
        token: str | None = None,
    ) -> None:
        self.settings = CallSettings(url, timeout, memory_limit_mb, retries, deadline, token)
        self._http = SyncHttp(self.settings.headers)
        self._balancer, self._pid = self.settings.balancer(), os.getpid()

    def run(self, code: str, stdin: str | None = None) -> ExecutionResult:
        """Run a program. Raises nothing."""
        started = time.monotonic()
        if self._pid != os.getpid():  # after a fork the counters are the parent's
            self._balancer, self._pid = self.settings.balancer(), os.getpid()
        content = self.settings.content(code, stdin)
        end = started + self.settings.total_seconds
        with closing(converse(self._balancer, self.settings.retries, end, self.settings.timeout)) as steps:
            reply: Reply = None
            while True:
                try:
                    step = steps.send(reply)
                except StopIteration as done:
                    return self.settings.told(done.value, started)
                reply = self._perform(step, content)

    def _perform(self, step: Step, content: bytes) -> Reply:
        if isinstance(step, Sleep):
            time.sleep(step.seconds)
            return None
        endpoint = self.settings.endpoints[step.index]
        if isinstance(step, Send):
            return self._http.ask(endpoint, endpoint.run, step.seconds, content)
        return self._http.ask(endpoint, endpoint.ping, step.seconds)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()
