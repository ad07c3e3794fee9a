"""A small server that speaks SandboxFusion's ``POST /run_code``, for Python only.

``python -m recipe.retool.sandbox.server`` is what :mod:`recipe.retool.sandbox.embedded` starts; people
start it with ``retool sandbox serve``.
"""

import argparse
import asyncio
import base64
import binascii
import logging
import os
import shutil
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, BeforeValidator, Field

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.admission import Admission, AdmissionLimits, BusyError
from recipe.retool.sandbox.metrics import BUSY, CONTENT_TYPE, FAILED, GONE, Metrics
from recipe.retool.sandbox.policy import Policy
from recipe.retool.sandbox.policy_runner import PolicyRunner
from recipe.retool.sandbox.procs import adopt_orphans
from recipe.retool.sandbox.protocol import Runner, RunOutcome, RunRequest
from recipe.retool.sandbox.wire import HEALTH_PATH, PING_PATH, RUN_PATH, encodable, response_body, unavailable
from recipe.retool.sandbox.zygote.choice import IsolationMode, choose_runner

logger = logging.getLogger(__name__)
_PARENT_POLL_SECONDS = 0.25


def _encodable(value: Any) -> Any:
    return encodable(value) if isinstance(value, str) else value


_Text = Annotated[str, BeforeValidator(_encodable)]


class RunCodeBody(BaseModel):
    """Body of ``POST /run_code``; unknown fields are ignored, ``compile_timeout`` has no effect."""

    code: _Text
    language: _Text
    stdin: _Text | None = None
    compile_timeout: float = 10.0
    run_timeout: float = Field(default=10.0, allow_inf_nan=False)
    memory_limit_MB: int = -1
    files: dict[_Text, _Text | None] = Field(default_factory=dict)
    fetch_files: list[_Text] = Field(default_factory=list)


def create_app(
    runner: Runner, workers: int, max_queue: int = 1024, max_wait: float = AdmissionLimits.max_wait
) -> FastAPI:
    """The application.

    Args:
        runner: Runs the programs; closed when the application ends.
        workers: How many programs run at once.
        max_queue: How many more may wait; beyond that the answer is HTTP 503.
        max_wait: How many seconds they may wait; then the answer is HTTP 503 too.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # What the first run sets up (a fork server that imports sympy, say) need not wait for the first call.
        warm = asyncio.create_task(runner.run(RunRequest("pass")))
        yield
        warm.cancel()
        await asyncio.gather(warm, return_exceptions=True)
        await runner.aclose()

    app = FastAPI(title="retool sandbox", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(RequestValidationError, _invalid)
    service = _Service(runner, Admission(AdmissionLimits(workers, max_queue, max_wait)), Metrics())

    @app.get(PING_PATH)
    async def ping() -> str:
        return "pong"

    @app.get(HEALTH_PATH)
    async def health() -> JSONResponse:
        return JSONResponse(service.health())

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(service.metrics.text(service.admission), media_type=CONTENT_TYPE)

    @app.post(RUN_PATH)
    async def run_code(body: RunCodeBody, request: Request) -> JSONResponse:
        return await service.run_code(body, request)

    return app


@dataclass(frozen=True)
class _Service:
    """What the requests of one application share."""

    runner: Runner
    admission: Admission
    metrics: Metrics

    async def run_code(self, body: RunCodeBody, request: Request) -> JSONResponse:
        """Answer one request, in its turn."""
        started = time.monotonic()
        try:
            async with self.admission.slot():
                waited = time.monotonic() - started
                # Under load, do not work for a caller who has given up while waiting.
                if await request.is_disconnected():
                    return self._turned_away(GONE, "the caller has left")
                outcome = await _outcome(self.runner, body)
        except BusyError as error:
            return self._turned_away(BUSY, str(error))
        except Exception:
            self.metrics.turned_away(FAILED)
            raise
        self.metrics.served(outcome.result.status, waited, time.monotonic() - started)
        files = {name: base64.b64encode(data).decode("ascii") for name, data in outcome.files.items()}
        return JSONResponse(response_body(outcome.result, files))

    def _turned_away(self, status: str, detail: str) -> JSONResponse:
        self.metrics.turned_away(status)
        headers = {"Retry-After": str(self.admission.retry_after())}
        return JSONResponse({"detail": detail}, status_code=503, headers=headers)

    def health(self) -> dict[str, Any]:
        """What a load balancer or a person asks; a full server is healthy all the same."""
        return {
            "status": "full" if self.admission.full else "ok",
            "workers": self.admission.limits.workers,
            "in_flight": self.admission.running,
            "queued": self.admission.queued,
            "max_queue": self.admission.limits.max_queue,
            # Names of the mechanisms in force (pid, mount, net ...); a runner without any has no such field.
            "isolation": list(getattr(self.runner, "isolation", ())),
        }


async def _outcome(runner: Runner, body: RunCodeBody) -> RunOutcome:
    """Run one program; a sandbox that fails is an outcome too."""
    if body.language != "python":
        message = f"language {body.language!r} is not supported: this sandbox runs python only"
        return RunOutcome(unavailable(message))
    try:
        return await runner.run(
            RunRequest(
                code=body.code,
                stdin=body.stdin,
                timeout=body.run_timeout,
                memory_limit_mb=body.memory_limit_MB,
                files={name: _decoded(name, text) for name, text in body.files.items() if text is not None},
                fetch_files=tuple(body.fetch_files),
            )
        )
    except SandboxError as error:
        return RunOutcome(unavailable(str(error)))
    except OSError as error:  # no process, no descriptor, no disk left
        logger.exception("the sandbox could not run a program")
        return RunOutcome(unavailable(f"{type(error).__name__}: {error}"))


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SandboxError(f"files: the content of {name!r} is not base64: {error}") from error


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    # FastAPI's own handler repeats the input, and fails with 500 on NaN or a lone surrogate in it.
    found = error.errors() if isinstance(error, RequestValidationError) else []
    detail = [
        {"type": e["type"], "loc": [_loc(x) for x in e["loc"]], "msg": encodable(e["msg"])} for e in found
    ]
    return JSONResponse({"detail": detail}, status_code=422)


def _loc(part: Any) -> Any:
    return part if isinstance(part, int) else encodable(str(part))


def serve(
    sock: socket.socket,
    workers: int,
    python: str,
    log_level: str,
    parent_pid: int = 0,
    policy: Policy | None = None,
    limits: AdmissionLimits | None = None,
    isolation: IsolationMode = IsolationMode.AUTO,
) -> None:
    """Serve on a listening socket until SIGINT, SIGTERM or the death of ``parent_pid`` (0: nobody's)."""
    owns = adopt_orphans()
    runner = choose_runner(isolation, python, owns)
    limits = limits or AdmissionLimits(workers)
    app = create_app(
        runner if policy is None else PolicyRunner(runner, policy), workers, limits.max_queue, limits.max_wait
    )
    config = uvicorn.Config(
        app, loop="asyncio", access_log=False, log_level=log_level, timeout_graceful_shutdown=1
    )
    asyncio.run(_serve(uvicorn.Server(config), sock, parent_pid))


async def _serve(server: uvicorn.Server, sock: socket.socket, parent_pid: int) -> None:
    # A look at the parent's pid, not PR_SET_PDEATHSIG: that fires when the parent's *thread* ends.
    watch = asyncio.create_task(_stop_with(parent_pid, server)) if parent_pid else None
    await server.serve(sockets=[sock])
    if watch is not None:
        watch.cancel()


async def _stop_with(parent_pid: int, server: uvicorn.Server) -> None:
    while os.getppid() == parent_pid:
        await asyncio.sleep(_PARENT_POLL_SECONDS)
    logger.warning("the process that started this server is gone: stopping")
    server.should_exit = True


def main(argv: list[str]) -> int:
    """Serve on an inherited listening socket."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="inherited listening socket")
    parser.add_argument("--parent-pid", type=int, required=True, help="stop when this process is gone")
    parser.add_argument("--folder", required=True, help="removed when that process is gone")
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--log-level", default="warning")
    parser.add_argument("--isolation", type=IsolationMode, default=IsolationMode.AUTO)
    args = parser.parse_args(argv)
    sock = socket.socket(fileno=args.fd)
    try:
        serve(sock, args.workers, args.python, args.log_level, args.parent_pid, isolation=args.isolation)
    except SandboxError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    if os.getppid() != args.parent_pid:  # it can no longer clean up itself
        shutil.rmtree(args.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
