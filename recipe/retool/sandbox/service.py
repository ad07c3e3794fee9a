"""One request: turn by turn from the raw body to the answer, of ``POST /run_code`` and of sessions."""

import asyncio
import base64
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.access import log_request
from recipe.retool.sandbox.admission import Admission, BusyError
from recipe.retool.sandbox.auth import admits
from recipe.retool.sandbox.body import BodyError, RunCodeBody, parse_body
from recipe.retool.sandbox.caller import Caller, NobodyWaitsError, Receive, Scope, Send, seconds_of
from recipe.retool.sandbox.metrics import BUSY, DENIED, DRAINING, FAILED, GONE, INVALID, LATE, Metrics
from recipe.retool.sandbox.protocol import Runner, RunOutcome
from recipe.retool.sandbox.settings import ServerSettings
from recipe.retool.sandbox.types import ExecutionStatus
from recipe.retool.sandbox.wire import PATIENCE_HEADER, REQUEST_ID_HEADER, response_body, unavailable

logger = logging.getLogger(__name__)
_MOST_BODY_BYTES = 256 << 20
_MOST_ID_CHARACTERS = 128
_PATIENCE, _REQUEST_ID = PATIENCE_HEADER.lower().encode(), REQUEST_ID_HEADER.lower().encode()
_WHY = {GONE: "the caller has left", LATE: "the caller's deadline has passed", DRAINING: "the server stops"}
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


@dataclass(frozen=True)
class Reply:
    """An answer before it is sent.

    Attributes:
        outcome: Label of its counter.
        content: What becomes the JSON body.
        code: HTTP status.
        headers: Further headers, name and value.
        waited: Seconds in the queue.
        program: The code, where it was understood.
        ran: A program was to be run.
    """

    outcome: str
    content: dict[str, Any]
    code: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    waited: float = 0.0
    program: str = ""
    ran: bool = True


ReplyTo = Callable[[bytes, dict[bytes, bytes], Receive], Awaitable[Reply]]
Work = Callable[[], Awaitable[tuple[ExecutionStatus, dict[str, Any]]]]


class RunService:
    """ASGI application of the one path that matters, past any framework: that was most of its cost.

    Args:
        runner: Runs the programs.
        settings: See :class:`ServerSettings`.
    """

    def __init__(self, runner: Runner, settings: ServerSettings) -> None:
        self.runner, self.settings = runner, settings
        self.admission = Admission(settings.limits)
        self.metrics = Metrics()
        self._callers: set[Caller] = set()
        self._drain_until: float | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request of ``POST /run_code``."""
        await self.answer(scope, receive, send, self._reply)

    async def answer(self, scope: Scope, receive: Receive, send: Send, reply_to: "ReplyTo") -> None:
        """Answer one request: token, body, metrics and log are the same for every path.

        Args:
            scope: ASGI's.
            receive: ASGI's.
            send: ASGI's.
            reply_to: What the path does with a body.
        """
        started = time.monotonic()
        headers = dict(scope["headers"])
        try:
            raw = await self._read(headers, receive)
            reply = raw if isinstance(raw, Reply) else await reply_to(raw, headers, receive)
        except Exception:
            self.metrics.turned_away(FAILED)
            raise
        seconds = time.monotonic() - started
        if reply.code == 200 and reply.ran:
            self.metrics.served(reply.outcome, reply.waited, seconds)
        else:
            self.metrics.turned_away(reply.outcome)
        text = _encode(reply.content).encode("utf-8", "replace")
        name = _request_id(headers.get(_REQUEST_ID))
        log_request(scope, name, reply, seconds, (_length(raw), len(text)), self.settings.log_code)
        if reply.outcome == GONE:
            return
        own = ((b"content-type", b"application/json"), (b"content-length", b"%d" % len(text)))
        sent = [*own, (_REQUEST_ID, name.encode()), *reply.headers]
        await send({"type": "http.response.start", "status": reply.code, "headers": sent})
        await send({"type": "http.response.body", "body": text})

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | Reply:
        if not admits(self.settings.token, headers.get(b"authorization")):
            detail = {"detail": "this server wants a token: Authorization: Bearer TOKEN"}
            return Reply(DENIED, detail, 401, ((b"www-authenticate", b"Bearer"),))
        if self.draining:
            return self._turned_away(DRAINING)
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return self._turned_away(GONE)
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > _MOST_BODY_BYTES:
                detail = {"detail": f"a body of more than {_MOST_BODY_BYTES >> 20} MiB"}
                return Reply(INVALID, detail, 413, ((b"connection", b"close"),))
            if not message.get("more_body"):
                return b"".join(chunks)

    async def _reply(self, raw: bytes, headers: dict[bytes, bytes], receive: Receive) -> Reply:
        try:
            body = parse_body(raw, headers.get(b"content-type"), RunCodeBody)
        except BodyError as error:
            return Reply(INVALID, {"detail": error.detail}, error.code)

        async def work() -> tuple[ExecutionStatus, dict[str, Any]]:
            outcome = await _outcome(self.runner, body)
            files = {name: base64.b64encode(data).decode("ascii") for name, data in outcome.files.items()}
            return outcome.result.status, response_body(outcome.result, files)

        return await self.admitted(headers, receive, body.code, work)

    async def admitted(
        self, headers: dict[bytes, bytes], receive: Receive, program: str, work: Work
    ) -> Reply:
        """The reply of some work that takes a worker, done while its caller waits for it.

        Args:
            headers: Of the request.
            receive: ASGI's, after the body.
            program: For the log.
            work: Gives the status and the content of the reply.
        """
        caller = Caller(receive, seconds_of(headers.get(_PATIENCE)), GONE, LATE)
        self._callers.add(caller)
        started = time.monotonic()
        try:
            async with caller, self.admission.slot():
                waited = time.monotonic() - started
                status, content = await work()
        except NobodyWaitsError as error:
            return self._turned_away(error.why)
        except BusyError as error:
            return self._turned_away(BUSY, str(error))
        finally:
            self._callers.discard(caller)
        return Reply(status.value, content, waited=waited, program=program)

    def _turned_away(self, outcome: str, detail: str = "") -> Reply:
        wait = self.admission.retry_after()
        if self._drain_until is not None:
            wait = max(wait, math.ceil(self._drain_until - time.monotonic()))
        headers = [(b"retry-after", b"%d" % min(wait, 30))]
        if outcome == DRAINING:
            headers.append((b"connection", b"close"))  # the next request may find another server here
        return Reply(outcome, {"detail": detail or _WHY[outcome]}, 503, tuple(headers))

    @property
    def draining(self) -> bool:
        """True once the server has been asked to stop."""
        return self._drain_until is not None

    async def drain(self, seconds: float) -> None:
        """Take no more requests, turn away those that wait, and let the rest finish for so many seconds."""
        self._drain_until = time.monotonic() + seconds
        self.admission.close()
        while self._callers and time.monotonic() < self._drain_until:
            await asyncio.sleep(0.02)

    def stop(self) -> None:
        """Kill what runs; its callers get HTTP 503."""
        self._drain_until = self._drain_until or time.monotonic()
        for caller in self._callers:
            caller.give_up(DRAINING)

    def health(self) -> dict[str, Any]:
        """What a load balancer or a person asks; a full server is healthy all the same."""
        admission = self.admission
        return {
            "status": "draining" if self.draining else "full" if admission.full else "ok",
            "workers": admission.limits.workers,
            "in_flight": admission.running,
            "queued": admission.queued,
            "max_queue": admission.limits.max_queue,
            # Names of the mechanisms in force (pid, mount, net ...); a runner without any has no such field.
            "isolation": list(getattr(self.runner, "isolation", ())),
        }


async def _outcome(runner: Runner, body: RunCodeBody) -> RunOutcome:
    """Run one program; a sandbox that fails is an outcome too."""
    if body.language != "python":
        message = f"language {body.language!r} is not supported: this sandbox runs python only"
        return RunOutcome(unavailable(message))
    try:
        return await runner.run(body.request())
    except SandboxError as error:
        return RunOutcome(unavailable(str(error)))
    except OSError as error:  # no process, no descriptor, no disk left
        logger.exception("the sandbox could not run a program")
        return RunOutcome(unavailable(f"{type(error).__name__}: {error}"))


def _length(raw: "bytes | Reply") -> int:
    return len(raw) if isinstance(raw, bytes) else 0


def _request_id(header: bytes | None) -> str:
    """The caller's name for the request where it is fit for a header and a log, else a new one."""
    text = (header or b"").decode("latin-1").strip()
    fit = 0 < len(text) <= _MOST_ID_CHARACTERS and text.isascii() and text.isprintable()
    return text if fit else uuid4().hex
