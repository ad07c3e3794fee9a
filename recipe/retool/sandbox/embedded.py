"""A sandbox server that lives and dies with the process that needs it."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.endpoints import Endpoint
from recipe.retool.sandbox.limits import environment
from recipe.retool.sandbox.sync_http import ping
from recipe.retool.sandbox.zygote.choice import IsolationMode

_STOP_SECONDS = 5.0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; SandboxError when the address cannot be had. Port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio switches Nagle's algorithm off for its connections. Left to a default
    # of 0 it does not, and every further answer on a connection waits 40 ms for a delayed ACK.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except (OSError, OverflowError) as error:  # OverflowError: a port above 65535
        sock.close()
        reason = getattr(error, "strerror", None) or error
        raise SandboxError(
            f"cannot listen on {host}:{port}: {reason}; choose another --port, or 0 for a free one"
        ) from error
    return sock


def address(sock: socket.socket) -> str:
    """URL of a listening socket."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class EmbeddedSandbox:
    """Context manager around a sandbox server in a subprocess.

    The server stops with :meth:`stop`, and by itself within a second after the death, however violent,
    of the process that started it; its running programs go with it.

    Args:
        host: Address to listen on; nothing but loopback is sensible.
        port: Port; 0 takes a free one.
        workers: How many programs run at once; None: ``settings.default_workers`` says.
        log_file: Where the server's log goes; None: a temporary file that is removed in the end.
        python: Interpreter of the programs.
        isolation: How far programs are kept apart from this machine.
        start_seconds: How long the server may take to come up.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        workers: int | None = None,
        log_file: str | Path | None = None,
        python: str = sys.executable,
        start_seconds: float = 60.0,
        isolation: IsolationMode = IsolationMode.AUTO,
    ) -> None:
        self._host, self._port = host, port
        self._workers = workers
        self._log_file = Path(log_file) if log_file is not None else None
        self._python = python
        self._isolation = isolation
        self._start_seconds = start_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._failed = False  # the last revival did not succeed
        self._folder = ""
        self._url = ""

    @property
    def url(self) -> str:
        """Address of the running server; SandboxError when it does not run."""
        if self._process is None:
            raise SandboxError(
                "the embedded sandbox is not started: call start() or use it in a with statement"
            )
        return self._url

    @property
    def pid(self) -> int:
        """Process id of the running server; 0 when there is none."""
        return self._process.pid if self._process is not None else 0

    def start(self) -> "EmbeddedSandbox":
        """Start the server and wait until it answers; SandboxError with the end of its log if it does not."""
        if self._process is not None:
            return self
        sock = listen(self._host, self._port)
        try:
            self._url = address(sock)
            self._folder = tempfile.mkdtemp(prefix="retool-embedded-")
            os.chmod(self._folder, 0o711)
            log = self._log_file or Path(self._folder) / "server.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            self._process, self._owner = self._spawn(sock, log), os.getpid()
        finally:
            sock.close()
        try:
            self._wait_for_ping(log)
        except BaseException:
            self.stop()
            raise
        return self

    def _spawn(self, sock: socket.socket, log: Path) -> "subprocess.Popen[bytes]":
        module = "recipe.retool.sandbox.server"
        options = ["--fd", str(sock.fileno()), "--parent-pid", str(os.getpid())]
        options += ["--python", self._python, "--folder", self._folder]
        options += ["--workers", str(self._workers)] if self._workers is not None else []
        options += ["--isolation", self._isolation.value]
        # The trainer's tokens stay with the trainer; the server's temporary files go into our folder.
        env = {**environment(self._folder, os.environ.items()), "PYTHONPATH": _package_root()}
        with log.open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", module, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                pass_fds=[sock.fileno()],
                start_new_session=True,  # Ctrl-C reaches our owner alone, which then stops us in order
            )

    def _wait_for_ping(self, log: Path) -> None:
        endpoint = Endpoint(self._url)
        give_up = time.monotonic() + self._start_seconds
        while self._process is not None and self._process.poll() is None and time.monotonic() < give_up:
            if not ping(endpoint, seconds=1.0):
                return
            time.sleep(0.05)
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise SandboxError(f"the embedded sandbox did not come up; the end of its log:\n{tail}")

    def revive(self) -> int | None:
        """Start the server again, on the same port, when it has ended by itself.

        Returns:
            The exit code that it ended with; None when it runs or was never started.

        Raises:
            SandboxError: It does not come up again; a later call tries again.
        """
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            self._port = urlsplit(self._url).port or self._port
            self.stop()
        if code is not None or self._failed:
            self._failed = True
            self.start()
            self._failed = False
        return code

    def stop(self) -> None:
        """Stop the server, its programs and its files; a second call does nothing."""
        process, self._process = self._process, None
        if process is None or os.getpid() != self._owner:  # a forked child must not stop its parent's
            return
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> "EmbeddedSandbox":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _package_root() -> str:
    """Folder that holds ``recipe/``: the server finds the package also from an uninstalled checkout."""
    return str(Path(__file__).resolve().parents[3])
