"""Sessions over HTTP: ``POST /sessions``, ``POST /sessions/NAME/run`` and ``DELETE /sessions/NAME``."""

import logging
from typing import Any

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.body import BodyError, RunCodeBody, SessionBody, parse_body
from recipe.retool.sandbox.caller import Receive, Scope, Send
from recipe.retool.sandbox.metrics import BUSY, CLOSED, INVALID, NO_SESSION
from recipe.retool.sandbox.service import Reply, RunService
from recipe.retool.sandbox.sessions import RETRY_SECONDS, SessionBusy, SessionGone, Sessions
from recipe.retool.sandbox.types import ExecutionStatus
from recipe.retool.sandbox.wire import SESSIONS_PATH, response_body, unavailable

logger = logging.getLogger(__name__)
_CONTENT_TYPE = b"content-type"
_RUN = "/run"
_Headers = dict[bytes, bytes]
_Content = tuple[ExecutionStatus, dict[str, Any]]


class SessionService:
    """ASGI application of the paths below ``/sessions``.

    Args:
        service: Answers the requests, and has the workers that blocks wait for.
        sessions: The sessions.
    """

    def __init__(self, service: RunService, sessions: Sessions) -> None:
        self._service, self._sessions = service, sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, path = scope["method"], scope["path"].removeprefix(SESSIONS_PATH).removeprefix("/")

        async def reply(raw: bytes, headers: _Headers, receive: Receive) -> Reply:
            try:
                if method == "POST" and not path:
                    return await self._open(raw, headers, receive)
                if method == "POST" and path.endswith(_RUN):
                    return await self._run(path.removesuffix(_RUN), raw, headers, receive)
            except BodyError as error:
                return Reply(INVALID, {"detail": error.detail}, error.code)
            if method == "DELETE" and path:
                return await self._close(path)
            return Reply(INVALID, {"detail": "Not Found"}, 404)

        await self._service.answer(scope, receive, send, reply)

    async def _open(self, raw: bytes, headers: _Headers, receive: Receive) -> Reply:
        body = parse_body(raw, headers.get(_CONTENT_TYPE), SessionBody)

        async def work() -> _Content:
            memory = body.memory_limit_MB
            try:
                name = await self._sessions.open(body.session_seconds, body.idle_seconds, memory)
            except (SandboxError, OSError) as error:
                return _failed(error)
            try:
                return await self._block(name, body)
            except BaseException:  # the caller has left, and does not know the name
                await self._sessions.close(name)
                raise

        if self._sessions.full:
            return _full(f"{self._sessions.limits.most} sessions are open")
        return await self._service.admitted(headers, receive, body.code, work)

    async def _run(self, name: str, raw: bytes, headers: _Headers, receive: Receive) -> Reply:
        body = parse_body(raw, headers.get(_CONTENT_TYPE), RunCodeBody)
        try:
            return await self._service.admitted(headers, receive, body.code, lambda: self._block(name, body))
        except SessionGone:
            return _no_session()
        except SessionBusy:
            return Reply(NO_SESSION, {"detail": "a block of this session runs already"}, 409)

    async def _block(self, name: str, body: RunCodeBody) -> _Content:
        if body.language != "python":
            message = f"language {body.language!r} is not supported: this sandbox runs python only"
            return _failed(SandboxError(message), name)
        result, lost = await self._sessions.run(name, body.code, body.run_timeout)
        return result.status, {**response_body(result, {}), "session": _state(name, lost)}

    async def _close(self, name: str) -> Reply:
        if not await self._sessions.close(name):
            return _no_session()
        return Reply(CLOSED, {"session": _state(name, "it was closed")}, ran=False)


def _state(name: str, lost: str) -> dict[str, Any]:
    return {"id": name, "alive": not lost, "lost": lost}


def _failed(error: Exception, name: str = "") -> _Content:
    logger.warning("no session: %s", error)
    content = response_body(unavailable(str(error)), {})
    return ExecutionStatus.UNAVAILABLE, {
        **content,
        "session": _state(name, "" if name else "it was not opened"),
    }


def _no_session() -> Reply:
    return Reply(NO_SESSION, {"detail": "there is no such session, or it has ended"}, 404)


def _full(detail: str) -> Reply:
    return Reply(BUSY, {"detail": detail}, 503, ((b"retry-after", b"%d" % RETRY_SECONDS),))
