"""The sandbox of a run: started or found before it, watched while it lasts.

A run whose sandbox died goes on, and learns that calling the tool is useless. So the sandbox that was
started for the run is started again when it ends, and one that does not answer is reported.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.client import SyncSandboxClient
from recipe.retool.sandbox.conversation import Answer
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.endpoints import Endpoint, parse_endpoints
from recipe.retool.sandbox.sync_http import get, ping
from recipe.retool.stages.progress import say

_EVERY_SECONDS = 5.0
_SILENT_PINGS = 3  # one slow answer is no news


class SandboxWatch:
    """Call it often: now and then it looks after the sandbox at ``url``.

    Args:
        url: Address of the sandbox, or several with commas between them.
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
        self._silent = dict.fromkeys(parse_endpoints(url), 0)  # pings in a row without an answer

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
        for endpoint, silent in self._silent.items():
            works = not ping(endpoint)
            self._silent[endpoint] = 0 if works else silent + 1
            if works and silent >= _SILENT_PINGS:
                say(f"  the sandbox at {endpoint.base} answers again")
            elif not works and silent + 1 == _SILENT_PINGS:
                fail = "tool calls fail" if len(self._silent) == 1 else "the other sandboxes do its work"
                say(f"  warning: the sandbox at {endpoint.base} does not answer; until it does, {fail}")


@contextmanager
def working_sandbox(url: str | None, log: Path) -> Iterator[SandboxWatch]:
    """Sandboxes of which one at least has just run a program: those at ``url``, or an embedded one.

    Raises:
        ConfigError: ``url`` is no http address.
        SandboxError: None answers, or none answers rightly.
    """
    if url is None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with EmbeddedSandbox(log_file=log) as embedded:
            _check(embedded.url)
            walls = _isolation(Endpoint(embedded.url))
            say(f"  sandbox: programs are {'isolated' if walls else 'NOT isolated'} from this host")
            yield SandboxWatch(embedded.url, embedded)
        return
    _check(url)
    yield SandboxWatch(url)


def _check(url: str) -> None:
    endpoints = parse_endpoints(url)
    problems = [problem for problem in map(_problem, endpoints) if problem]
    if len(problems) == len(endpoints):
        raise SandboxError("; ".join(problems))
    for problem in problems:
        say(f"  warning: {problem}; the others do its work")


def _problem(endpoint: Endpoint) -> str:
    client = SyncSandboxClient(endpoint.base)
    result = client.run("print(6*7)")
    client.close()
    if result.stdout.strip() == "42":
        return ""
    return (
        f"the sandbox at {endpoint.base} does not work: print(6*7) gave {result.status.value} "
        f"{result.stdout.strip()[:80]!r} {result.message}"
    )


def _isolation(endpoint: Endpoint) -> bool:
    health = get(endpoint, endpoint.health, seconds=2.0)
    return isinstance(health, Answer) and isinstance(health.body, dict) and bool(health.body["isolation"])
