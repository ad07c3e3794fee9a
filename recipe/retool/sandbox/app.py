"""The ASGI application of a sandbox server: SandboxFusion's paths, sessions, health and metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from recipe.retool.sandbox.auth import admits
from recipe.retool.sandbox.caller import Receive, Scope, Send
from recipe.retool.sandbox.metrics import CONTENT_TYPE
from recipe.retool.sandbox.protocol import Runner, RunRequest
from recipe.retool.sandbox.service import RunService
from recipe.retool.sandbox.session_service import SessionService
from recipe.retool.sandbox.sessions import SessionRunner, Sessions
from recipe.retool.sandbox.settings import ServerSettings
from recipe.retool.sandbox.wire import HEALTH_PATH, METRICS_PATH, PING_PATH, RUN_PATH, SESSIONS_PATH


class SandboxApp(Starlette):
    """The application. ``service`` answers the runs.

    Args:
        runner: Runs the programs; closed when the application ends.
        settings: See :class:`ServerSettings`.
    """

    def __init__(self, runner: Runner, settings: ServerSettings) -> None:
        self.service = RunService(runner, settings)
        self.sessions = Sessions(runner, settings.sessions) if isinstance(runner, SessionRunner) else None
        self._session_service = SessionService(self.service, self.sessions) if self.sessions else None
        routes = [
            Route(PING_PATH, self._ping),
            Route(HEALTH_PATH, self._health),
            Route(METRICS_PATH, self._metrics),
            Route(RUN_PATH, self.service, methods=["POST"]),
        ]
        super().__init__(routes=routes, lifespan=_lifespan, exception_handlers={HTTPException: _plain_error})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; runs and sessions go straight to their services, past the routing."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path == RUN_PATH and scope["method"] == "POST":
            await self.service(scope, receive, send)
        elif self._session_service is not None and f"{path}/".startswith(f"{SESSIONS_PATH}/"):
            await self._session_service(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _ping(self, _: Request) -> Response:
        return JSONResponse("pong")

    async def _health(self, _: Request) -> Response:
        # A load balancer looks at the code alone: a server that stops must get no new callers.
        state = self.service.health()
        if self.sessions is not None:
            state["sessions"] = {"open": self.sessions.count, "most": self.sessions.limits.most}
        return JSONResponse(state, status_code=503 if self.service.draining else 200)

    async def _metrics(self, request: Request) -> Response:
        service = self.service
        if not admits(service.settings.token, request.headers.get("authorization", "").encode()):
            return JSONResponse({"detail": "no token"}, 401, {"WWW-Authenticate": "Bearer"})
        more = self.sessions.lines() if self.sessions is not None else ()
        return PlainTextResponse(service.metrics.text(service.admission, more), media_type=CONTENT_TYPE)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    if not isinstance(app, SandboxApp):
        raise TypeError("this lifespan is a sandbox server's")
    runner = app.service.runner
    warm = asyncio.create_task(_warm(runner))
    yield
    warm.cancel()
    await asyncio.gather(warm, return_exceptions=True)
    if app.sessions is not None:
        await app.sessions.aclose()
    await runner.aclose()


async def _plain_error(_: Request, error: Exception) -> Response:
    code, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    return JSONResponse({"detail": getattr(error, "detail", "")}, code, headers)


async def _warm(runner: Runner) -> None:
    """Have set up what first runs set up, such as a fork server that imports sympy, before anybody waits."""
    for code in ("pass", "import numpy", "import sympy"):
        await runner.run(RunRequest(code))
