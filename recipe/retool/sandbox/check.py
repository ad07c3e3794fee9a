"""``retool sandbox check``: does each server answer, and does it run what models write?"""

import time
from collections.abc import Callable
from functools import partial

from recipe.retool.sandbox.client import SyncSandboxClient
from recipe.retool.sandbox.endpoints import Endpoint, parse_endpoints
from recipe.retool.sandbox.sync_http import ping

_PING_SECONDS = 5.0
_PROGRAMS = (
    ("arithmetic", "print(1+1)", "2"),
    ("numpy", "import numpy; print(int(numpy.arange(5).sum()))", "10"),
    ("sympy", "import sympy; print(sympy.factorint(360))", "{2: 3, 3: 2, 5: 1}"),
)


def check(url: str, say: Callable[[str], None]) -> int:
    """Ask every server that ``url`` names, one line a check.

    Returns:
        0, or 1 when a check failed.

    Raises:
        ConfigError: ``url`` is no address.
    """
    endpoints = parse_endpoints(url)
    good = True
    for endpoint in endpoints:
        if len(endpoints) > 1:
            say(endpoint.base)
        good &= _check_one(endpoint, say)
    return 0 if good else 1


def _check_one(endpoint: Endpoint, say: Callable[[str], None]) -> bool:
    client = SyncSandboxClient(endpoint.base, retries=0)
    good = _timed("ping", partial(ping, endpoint, _PING_SECONDS), say)
    for name, code, expected in _PROGRAMS if good else ():
        good &= _timed(name, partial(_verdict, client, code, expected), say)
    client.close()
    return good


def _timed(name: str, problem_of: Callable[[], str], say: Callable[[str], None]) -> bool:
    started = time.monotonic()
    problem = problem_of()
    milliseconds = 1000 * (time.monotonic() - started)
    say(f"{name:<12} {'ok' if not problem else 'FAILED'} {milliseconds:8.1f} ms {problem}".rstrip())
    return not problem


def _verdict(client: SyncSandboxClient, code: str, expected: str) -> str:
    result = client.run(code)
    if result.ok and result.stdout.strip() == expected:
        return ""
    return f"{result.status.value}: {(result.message or result.stderr or result.stdout).strip()[-300:]}"
