"""A small server that speaks SandboxFusion's ``POST /run_code``, for Python only.

``python -m recipe.retool.sandbox.server`` is what :mod:`recipe.retool.sandbox.embedded` starts; people
start it with ``retool sandbox serve``.
"""

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import shutil
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.access import configure_logs
from recipe.retool.sandbox.admission import AdmissionLimits
from recipe.retool.sandbox.app import SandboxApp
from recipe.retool.sandbox.procs import adopt_orphans, reap_all, reap_forgotten
from recipe.retool.sandbox.protocol import Runner
from recipe.retool.sandbox.settings import ServerSettings, default_workers
from recipe.retool.sandbox.zygote.choice import IsolationMode, choose_runner

logger = logging.getLogger(__name__)
_PARENT_POLL_SECONDS = 0.25
_MOST_FILES = 65536


class _Server(uvicorn.Server):
    """Leaves signals to :class:`_End`: uvicorn's own handling has no drain, and ends with the signal."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _End:
    """How a server comes to its end: the first SIGTERM drains, the next signal or SIGINT ends at once."""

    def __init__(self, server: uvicorn.Server, app: SandboxApp) -> None:
        self._server, self._service = server, app.service
        self._draining: asyncio.Task[None] | None = None

    def listen(self) -> None:
        """Take over the signals of this process."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.politely)
        loop.add_signal_handler(signal.SIGINT, self.now)

    def politely(self) -> None:
        """Let the running programs finish; at once when asked a second time."""
        if self._draining is not None or self._service.settings.drain <= 0:
            self.now()
        else:
            logger.info("draining: %d programs run", self._service.admission.running)
            self._draining = asyncio.create_task(self._drain(self._service.settings.drain))

    def now(self) -> None:
        """Kill what runs and end."""
        self._service.stop()
        self._server.should_exit = True

    async def _drain(self, seconds: float) -> None:
        await self._service.drain(seconds)
        self.now()


def serve(sock: socket.socket, runner: Runner, settings: ServerSettings, parent_pid: int = 0) -> None:
    """Serve on a listening socket until a signal or the death of ``parent_pid`` (0: nobody's).

    Logs must have been configured. The runner is closed in the end.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))  # a caller and a program take ten
    # Not uvloop: measured, it saves nothing beyond httptools' parser.
    asyncio.run(_serve(sock, SandboxApp(runner, settings), parent_pid))


async def _serve(sock: socket.socket, app: SandboxApp, parent_pid: int) -> None:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        lifespan="on",
        timeout_graceful_shutdown=1,
        # Longer than clients keep theirs: who closes first must not be we, just as the next request comes.
        timeout_keep_alive=75,
    )
    server = _Server(config)
    end = _End(server, app)
    end.listen()
    # A look at the parent's pid, not PR_SET_PDEATHSIG: that fires when the parent's *thread* ends.
    aside = [asyncio.create_task(_end_with(parent_pid, end))] if parent_pid else []
    aside.append(asyncio.create_task(reap_forgotten()))
    await server.serve(sockets=[sock])
    for task in aside:
        task.cancel()
    reap_all()


async def _end_with(parent_pid: int, end: _End) -> None:
    while os.getppid() == parent_pid:
        await asyncio.sleep(_PARENT_POLL_SECONDS)
    logger.warning("the process that started this server is gone: stopping")
    end.now()


def main(argv: list[str]) -> int:
    """Serve on an inherited listening socket."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fd", type=int, required=True, help="inherited listening socket")
    parser.add_argument("--parent-pid", type=int, required=True, help="stop when this process is gone")
    parser.add_argument("--folder", required=True, help="removed when that process is gone")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--log-level", default="warning")
    parser.add_argument("--isolation", type=IsolationMode, default=IsolationMode.AUTO)
    args = parser.parse_args(argv)
    configure_logs(args.log_level)
    sock = socket.socket(fileno=args.fd)
    try:
        runner = choose_runner(args.isolation, args.python, adopt_orphans())
    except SandboxError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    limits = AdmissionLimits(args.workers or default_workers(runner))
    serve(sock, runner, ServerSettings(limits), args.parent_pid)
    if os.getppid() != args.parent_pid:  # it can no longer clean up itself
        shutil.rmtree(args.folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
