"""The sandbox of a run: started or found before it, watched while it lasts.

A run whose sandbox died goes on, and learns that calling the tool is useless. So the sandbox that was
started for the run is started again when it ends, and one that does not answer is reported.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.client import SyncSandboxClient
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.wire import HEALTH_PATH, PING_PATH
from recipe.retool.stages.progress import say

_EVERY_SECONDS = 5.0
_PING_SECONDS = 2.0
_SILENT_PINGS = 3  # one slow answer is no news


class SandboxWatch:
    """Call it often: now and then it looks after the sandbox at ``url``.

    Args:
        url: Address of the sandbox.
        embedded: The server when it is our own; it is then started again after it ended.
        every: Seconds between two looks.
    """

    def __init__(
        self, url: str, embedded: EmbeddedSandbox | None = None, every: float = _EVERY_SECONDS
    ) -> None:
        self.url = url
        self._embedded = embedded
        self._every = every
        self._next = time.monotonic() + every
        self._silent = 0

    def __call__(self) -> None:
        if time.monotonic() < self._next:
            return
        try:
            code = self._embedded.revive() if self._embedded else None
            if code is not None:
                say(f"  warning: the sandbox ended (exit code {code}) and was started again")
        except SandboxError as error:
            say(f"  warning: the sandbox ended and does not start again: {error}")
        self._report()
        self._next = time.monotonic() + self._every

    def _report(self) -> None:
        if _answers(self.url):
            if self._silent >= _SILENT_PINGS:
                say(f"  the sandbox at {self.url} answers again")
            self._silent = 0
            return
        self._silent += 1
        if self._silent == _SILENT_PINGS:
            say(f"  warning: the sandbox at {self.url} does not answer; until it does, tool calls fail")


@contextmanager
def working_sandbox(url: str | None, log: Path) -> Iterator[SandboxWatch]:
    """A sandbox that has just run a program: the one at ``url``, or an embedded one.

    Raises:
        ConfigError: ``url`` is no http address.
        SandboxError: It does not answer, or answers wrongly.
    """
    if url is None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with EmbeddedSandbox(log_file=log) as embedded:
            _check(embedded.url)
            walls = _health(embedded.url)["isolation"]
            say(f"  sandbox: programs are {'isolated' if walls else 'NOT isolated'} from this host")
            yield SandboxWatch(embedded.url, embedded)
        return
    _check(url)
    yield SandboxWatch(url)


def _check(url: str) -> None:
    result = SyncSandboxClient(url).run("print(6*7)")
    if result.stdout.strip() != "42":
        raise SandboxError(
            f"the sandbox at {url} does not work: print(6*7) gave {result.status.value} "
            f"{result.stdout.strip()[:80]!r} {result.message}"
        )


def _answers(url: str) -> bool:
    try:
        return _get(url, PING_PATH).ok
    except requests.RequestException:
        return False


def _health(url: str) -> dict[str, Any]:
    health: dict[str, Any] = _get(url, HEALTH_PATH).json()
    return health


def _get(url: str, path: str) -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url.rstrip("/") + path, timeout=_PING_SECONDS)
