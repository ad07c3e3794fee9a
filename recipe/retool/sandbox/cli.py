"""``retool sandbox serve``, ``check`` and ``bench``."""

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial

import requests

from recipe.retool.errors import ConfigError, SandboxError
from recipe.retool.sandbox.bench.cli import add_bench
from recipe.retool.sandbox.client import SyncSandboxClient
from recipe.retool.sandbox.serve_cli import add_serve
from recipe.retool.sandbox.wire import PING_PATH

_CHECKS = (
    ("arithmetic", "print(1+1)", "2"),
    ("numpy", "import numpy; print(int(numpy.arange(5).sum()))", "10"),
    ("sympy", "import sympy; print(sympy.factorint(360))", "{2: 3, 3: 2, 5: 1}"),
)


def main(argv: list[str]) -> int:
    """Run a verb; returns the exit code (0 fine, 1 a check failed, 2 could not start)."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (ConfigError, SandboxError) as error:
        _say(f"error: {error}", to_stderr=True)
        return 2
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="retool sandbox", description="The code sandbox.")
    verbs = parser.add_subparsers(required=True)
    add_serve(verbs)
    add_bench(verbs)
    two = verbs.add_parser("check", help="ask a server whether it works")
    two.add_argument("url")
    two.set_defaults(run=_check)
    return parser


def _check(args: argparse.Namespace) -> int:
    client = SyncSandboxClient(args.url, retries=0)
    good = _timed("ping", partial(_ping, args.url, client.settings.use_proxy))
    for name, code, expected in _CHECKS if good else ():
        good &= _timed(name, partial(_verdict, client, code, expected))
    client.close()
    return 0 if good else 1


def _timed(name: str, check: Callable[[], str]) -> bool:
    started = time.monotonic()
    problem = check()
    milliseconds = 1000 * (time.monotonic() - started)
    _say(f"{name:<12} {'ok' if not problem else 'FAILED'} {milliseconds:8.1f} ms {problem}".rstrip())
    return not problem


def _ping(url: str, use_proxy: bool) -> str:
    with requests.Session() as session:
        session.trust_env = use_proxy
        try:
            answer = session.get(url.rstrip("/") + PING_PATH, timeout=5)
        except requests.RequestException as error:
            return f"{type(error).__name__}: is a sandbox running at {url}?"
    return "" if answer.ok else f"HTTP {answer.status_code}"


def _verdict(client: SyncSandboxClient, code: str, expected: str) -> str:
    result = client.run(code)
    if result.ok and result.stdout.strip() == expected:
        return ""
    return f"{result.status.value}: {(result.message or result.stderr or result.stdout).strip()[-300:]}"


def _say(text: str, to_stderr: bool = False) -> None:
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(text + "\n")
    stream.flush()
