"""A session as its user sees it: blocks in, results out, and a word when the variables are gone.

Opening a session is a call as any other (:mod:`recipe.retool.sandbox.conversation`): it is tried again, on
any server. A block is not: it may have changed the session. So when an answer is missing, the session counts
as lost (the server ends one whose caller hangs up) and the block is run in a new one.
"""

import asyncio
import time
from contextlib import closing
from dataclasses import dataclass

import anyio

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.call_settings import CallSettings
from recipe.retool.sandbox.client import AsyncSandboxClient
from recipe.retool.sandbox.conversation import Answer, Broken, Reply, Send, converse
from recipe.retool.sandbox.endpoints import Endpoint
from recipe.retool.sandbox.retry import retry_delay
from recipe.retool.sandbox.sync_http import get
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import BUSY_CODE, parse_response, unavailable

_CLOSE_SECONDS = 5.0
_TRIES = 2
_GONE_CODES = (404, 409)


@dataclass(frozen=True)
class BlockResult:
    """What one block came to.

    Attributes:
        result: As of a program.
        restarted: Variables that blocks before this one have made are lost, or those of this block are.
    """

    result: ExecutionResult
    restarted: bool = False


class SessionClient(AsyncSandboxClient):
    """An :class:`AsyncSandboxClient` that can hold sessions; the same arguments."""

    def session(self, seconds: float) -> "SandboxSession":
        """A session with so long a life on the clock; nothing is sent before its first block."""
        return SandboxSession(self, seconds)

    async def open_session(self, seconds: float, end: float) -> "tuple[ExecutionResult, str]":
        """Open one; the result of an empty block, and the address of the session where there is one."""
        process = self._process_state()
        state = self._loop_state(process)
        content, address = self.settings.opening(seconds), ""
        async with state.openers:
            steps = converse(process.balancer, self.settings.retries, end, self.settings.timeout)
            with closing(steps):
                reply: Reply = None
                while True:
                    try:
                        step = steps.send(reply)
                    except StopIteration as done:
                        result: ExecutionResult = done.value
                        break
                    reply = await self._perform(state, step, content, lambda endpoint: endpoint.sessions)
                    if isinstance(step, Send):
                        address = _address(self.settings.endpoints[step.index], reply)
        return result, address if result.ok else ""

    async def run_block(self, address: str, code: str, end: float) -> Answer | Broken:
        """Run a block in a session, once; HTTP 503, after which nothing was run, is waited out."""
        state = self._loop_state(self._process_state())
        content = self.settings.content(code, None)
        endpoint = _endpoint_of(self.settings, address)
        for attempt in range(1 << 20):
            async with self._turn(state, end) as granted:
                left = end - time.monotonic()
                if not granted or left <= 0:
                    break
                reply = await state.http.ask(endpoint, f"{address}/run", left, content)
            if not isinstance(reply, Answer) or reply.code != BUSY_CODE:
                return reply
            await asyncio.sleep(retry_delay(attempt, reply.retry_after))
        return Broken(f"{endpoint.base}: no turn for a block in {self.settings.total_seconds:g} s")

    async def close_session(self, address: str) -> None:
        """End a session; one that does not answer ends by itself, when it has been idle for long."""
        state = self._loop_state(self._process_state())
        await state.http.ask(_endpoint_of(self.settings, address), address, _CLOSE_SECONDS, method="DELETE")


class SandboxSession:
    """One session, opened with its first block, and opened anew when it is lost. Close it in the end.

    Args:
        client: Speaks with the servers.
        seconds: Life of a session on the clock.
    """

    def __init__(self, client: SessionClient, seconds: float) -> None:
        self._client, self._seconds = client, seconds
        self._address = ""
        self._untold = False  # variables are lost, and nobody has been told
        self._turn = asyncio.Lock()  # blocks of one session run one after another

    async def run(self, code: str) -> BlockResult:
        """Run a block. Raises nothing but CancelledError."""
        started = time.monotonic()
        async with self._turn:
            try:
                result = await self._run(code, started + self._client.settings.total_seconds)
            except Exception as error:  # whatever happened, training goes on
                self._lose()
                result = unavailable(f"{type(error).__name__}: {error}")
            except BaseException:
                self._lose()
                raise
            if result.status is ExecutionStatus.UNAVAILABLE:
                return BlockResult(self._client.settings.told(result, started))
            restarted, self._untold = self._untold, False
            return BlockResult(result, restarted)

    async def _run(self, code: str, end: float) -> ExecutionResult:
        result = unavailable("no time was left for the call")
        for _ in range(_TRIES):
            if not self._address:
                result, self._address = await self._client.open_session(self._seconds, end)
                if not self._address:
                    return _not_opened(result)
            reply = await self._client.run_block(self._address, code, end)
            if isinstance(reply, Broken):
                result = unavailable(reply.reason)
            else:
                result = parse_response(reply.code, reply.body)
                if reply.code not in (200, *_GONE_CODES):  # refused: the session is as it was
                    return result
                served = result.status is not ExecutionStatus.UNAVAILABLE
                if served and not _alive(reply):
                    self._lose()
                if served:
                    return result
            self._lose()
        return result

    def _lose(self) -> None:
        if self._address:
            self._address, self._untold = "", True

    async def close(self) -> None:
        """End the session, if there is one."""
        address, self._address = self._address, ""
        if address:
            with anyio.CancelScope(shield=True):  # also for a trajectory that is given up
                await self._client.close_session(address)


def _address(endpoint: Endpoint, reply: Reply) -> str:
    """Address of the session that an answer tells of; empty when it tells of none."""
    body = reply.body if isinstance(reply, Answer) else None
    session = body.get("session") if isinstance(body, dict) else None
    name = session.get("id") if isinstance(session, dict) and session.get("alive") else ""
    return f"{endpoint.sessions}/{name}" if name else ""


def _alive(reply: Answer) -> bool:
    session = reply.body.get("session") if isinstance(reply.body, dict) else None
    return isinstance(session, dict) and bool(session.get("alive"))


def _endpoint_of(settings: CallSettings, address: str) -> Endpoint:
    return next(one for one in settings.endpoints if address.startswith(f"{one.sessions}/"))


def _not_opened(result: ExecutionResult) -> ExecutionResult:
    return result if not result.ok else unavailable("the server opened no session: has it any?")


def check_sessions(settings: CallSettings) -> None:
    """Refuse servers that answer and have no sessions; those that do not answer may come up later.

    Raises:
        ConfigError: Names the server and the remedy.
    """
    for endpoint in settings.endpoints:
        answer = get(endpoint, endpoint.health, _CLOSE_SECONDS, settings.token)
        if isinstance(answer, Broken):
            continue
        if not isinstance(answer.body, dict) or "sessions" not in answer.body:
            raise ConfigError(
                f"stateful: true, but {endpoint.base} has no sessions (SandboxFusion has none); start one "
                "with `retool sandbox serve`, leave sandbox_url out for the embedded one, or set "
                "stateful: false"
            )
