"""Clients of sandbox servers. A service that fails is a result (UNAVAILABLE), never an exception.

What a call does is decided in :mod:`recipe.retool.sandbox.conversation`; here are its two faces.
"""

import asyncio
import os
import threading
import time
import weakref
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import cast

import anyio
import httpx

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.balance import Balancer
from recipe.retool.sandbox.call_settings import CONNECT_SECONDS, MOST_ANSWER_BYTES, TOO_LONG, CallSettings
from recipe.retool.sandbox.conversation import Answer, Broken, Reply, Send, Sleep, Step, converse
from recipe.retool.sandbox.endpoints import Endpoint
from recipe.retool.sandbox.node_slots import NodeSlots
from recipe.retool.sandbox.sync_http import SyncHttp
from recipe.retool.sandbox.types import ExecutionResult
from recipe.retool.sandbox.wire import decode, unavailable

# uvicorn closes idle connections after 5 s; one that it is just closing costs a try.
_KEEP_SECONDS = 4.0


@dataclass(frozen=True)
class _LoopState:
    """What belongs to one event loop: pooled connections cannot be used from another one."""

    slots: asyncio.Semaphore
    node_queue: asyncio.Lock
    limits: httpx.Limits
    clients: dict[bool, httpx.AsyncClient] = field(default_factory=dict)

    def http(self, endpoint: Endpoint) -> httpx.AsyncClient:
        """The connections to servers of this kind: those behind the proxy of the environment, or not."""
        client = self.clients.get(endpoint.use_proxy)
        if client is None:
            timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
            client = httpx.AsyncClient(timeout=timeout, limits=self.limits, trust_env=endpoint.use_proxy)
            self.clients[endpoint.use_proxy] = client
        return client


@dataclass
class _ProcessState:
    """What belongs to one process: after a fork, counters, locks and connections are the parent's."""

    balancer: Balancer
    pid: int = field(default_factory=os.getpid)
    lock: threading.Lock = field(default_factory=threading.Lock)
    loops: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState]" = field(
        default_factory=weakref.WeakKeyDictionary
    )


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
        retries: int = 3,
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
        with closing(converse(balancer, self.settings.retries, end)) as steps:
            reply: Reply = None
            while True:
                try:
                    step = steps.send(reply)
                except StopIteration as done:
                    return cast(ExecutionResult, done.value)
                reply = await self._perform(state, step, content)

    async def _perform(self, state: _LoopState, step: Step, content: bytes) -> Reply:
        if isinstance(step, Sleep):
            await asyncio.sleep(step.seconds)
            return None
        endpoint = self.settings.endpoints[step.index]
        http = state.http(endpoint)
        if isinstance(step, Send):
            request = http.build_request("POST", endpoint.run, content=content, headers=self.settings.headers)
        else:
            request = http.build_request("GET", endpoint.ping, headers=self.settings.headers)
        try:
            with anyio.fail_after(step.seconds):
                return await _exchange(http, request)
        except TimeoutError:
            return Broken(f"{endpoint.base}: no answer in {step.seconds:.3g} s")
        except Exception as error:  # whatever the connection did
            return Broken(f"{endpoint.base}: {type(error).__name__}: {error}")

    def _process_state(self) -> _ProcessState:
        if self._process.pid != os.getpid():
            self._process = _ProcessState(self.settings.balancer())
        return self._process

    def _loop_state(self, process: _ProcessState) -> _LoopState:
        loop = asyncio.get_running_loop()
        with process.lock:
            state = process.loops.get(loop)
            if state is None:
                limits = httpx.Limits(max_connections=self._concurrency, keepalive_expiry=_KEEP_SECONDS)
                slots = asyncio.Semaphore(self._concurrency)
                state = process.loops[loop] = _LoopState(slots, asyncio.Lock(), limits)
            return state

    async def aclose(self) -> None:
        """Close the connections of the running loop; those of other loops go with their loops."""
        process = self._process_state()
        with process.lock:
            state = process.loops.pop(asyncio.get_running_loop(), None)
        for http in state.clients.values() if state is not None else ():
            await http.aclose()

    async def __aenter__(self) -> "AsyncSandboxClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


async def _exchange(http: httpx.AsyncClient, request: httpx.Request) -> Answer:
    response = await http.send(request, stream=True)
    try:
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > MOST_ANSWER_BYTES:
                return Answer(response.status_code, TOO_LONG)
        return Answer(response.status_code, decode(content), response.headers.get("retry-after"))
    finally:
        await response.aclose()


class SyncSandboxClient:
    """The same for code without an event loop. Arguments as in :class:`CallSettings`."""

    def __init__(
        self,
        url: str | Sequence[str],
        timeout: float = 10.0,
        memory_limit_mb: int = 1024,
        retries: int = 3,
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
        steps = converse(self._balancer, self.settings.retries, started + self.settings.total_seconds)
        with closing(steps):
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
