"""Latency and throughput of sandbox servers against plain ``python -c``, in one run on one machine.

Five programs (print, numpy, sympy, a 1-s time-out, a memory bomb) from 1, 4, 16 and 64 clients, each of
which sends its next program when the answer to its last one is there. Every program prints a token of its
own, and every answer is looked at: ``lost`` counts those that are missing or not what the program must give,
``crossed`` those that hold another program's token. ``ratio`` is requests per second over those of
``python -c`` in the same row. Usage::

    python benchmarks/sandbox.py --quick
    python benchmarks/sandbox.py --url http://127.0.0.1:8080 --url http://127.0.0.1:8099

Without ``--url`` an embedded server is started. Clients and servers share the machine's cores. On a busy
machine a plain Python may need more than the second of the time-out to start: its token is then missing and
it counts as lost, but only lost and crossed answers of servers make the exit code 1.
"""

import argparse
import asyncio
import re
import resource
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from recipe.retool.sandbox.bench.raw import RawClient
from recipe.retool.sandbox.bench.tree import tree_figures
from recipe.retool.sandbox.embedded import EmbeddedSandbox

MIB = 1024 * 1024
BOMB_MIB = 128
TOKEN = re.compile(r"token-[0-9a-f]{32}")
# The time-out, and what a server that is late may take on top before its answer counts as lost.
TIMEOUT, PATIENCE = 1.0, 300.0
LEAST_SECONDS = 3.0  # of a cell: a fast server would be through its programs before it is in its stride


@dataclass(frozen=True)
class Snippet:
    """A program and what must come of it: ``ok``, ``timeout`` or ``memory``."""

    name: str
    code: str
    ends: str = "ok"
    timeout: float = 60.0
    memory_mib: int = 1024


@dataclass(frozen=True)
class Answer:
    """What one program gave, in the words of :class:`Snippet`; ``lost`` when there was no answer."""

    ends: str
    stdout: str = ""


@dataclass(frozen=True)
class Cell:
    """Figures of one snippet, one number of clients and one way to run it."""

    seconds: list[float]
    wall: float
    lost: int
    crossed: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.seconds) / self.wall

    def quantile(self, share: float) -> float:
        """Milliseconds within which this share of the answers came."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


Run = Callable[[Snippet, str], Awaitable[Answer]]
SNIPPETS = (
    Snippet("print", "print(1 + 1)"),
    Snippet("numpy", "import numpy as np\nprint(np.arange(10).sum())"),
    Snippet("sympy", "import sympy\nprint(sympy.factorint(360))"),
    Snippet("timeout1", "while True:\n    pass", "timeout", TIMEOUT),
    Snippet("membomb", "x = []\nwhile True:\n    x.append(bytearray(2**24))", "memory", 60.0, BOMB_MIB),
)


def program(snippet: Snippet, token: str) -> str:
    """The snippet, with its token printed first."""
    return f"print({token!r}, flush=True)\n{snippet.code}\n"


class Server:
    """A /run_code server as a way to run programs."""

    def __init__(self, url: str) -> None:
        self._client = RawClient(url)
        self.close = self._client.close

    async def run(self, snippet: Snippet, token: str) -> Answer:
        """Send one program."""
        code = program(snippet, token)
        try:
            answer = await self._client.run(code, snippet.timeout, snippet.memory_mib, PATIENCE)
        except (OSError, ValueError, EOFError, asyncio.TimeoutError):
            return Answer("lost")
        if answer.run is None:
            return Answer("lost")
        return Answer(_ending(answer.run.get("status"), answer.run.get("return_code")),
                      str(answer.run.get("stdout")))  # fmt: skip


def _ending(status: object, code: object) -> str:
    if status == "TimeLimitExceeded":
        return "timeout"
    return "ok" if code == 0 else "memory"


async def plain(snippet: Snippet, token: str) -> Answer:
    """The same program under ``python -c``."""
    limits = f"import resource\nresource.setrlimit(resource.RLIMIT_DATA, ({snippet.memory_mib * MIB},) * 2)\n"
    code = (limits if snippet.ends == "memory" else "") + program(snippet, token)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    if process.stdout is None:
        raise RuntimeError("a pipe was asked for")
    reading = asyncio.create_task(process.stdout.read())
    try:
        await asyncio.wait_for(asyncio.shield(reading), snippet.timeout)
        ends = _ending("Finished", await process.wait())
    except asyncio.TimeoutError:
        process.kill()
        await process.wait()
        ends = "timeout"
    return Answer(ends, (await reading).decode())


async def measure(run: Run, snippet: Snippet, clients: int, count: int, least: float = 0.0) -> Cell:
    """``count`` programs from so many clients, and more until ``least`` seconds are over."""
    begun = 0
    seconds: list[float] = []
    wrong = {"lost": 0, "crossed": 0}

    async def client() -> None:
        nonlocal begun
        while begun < count or time.perf_counter() - started < least:
            begun += 1
            token = f"token-{uuid.uuid4().hex}"
            sent = time.perf_counter()
            answer = await run(snippet, token)
            seconds.append(time.perf_counter() - sent)
            seen = set(TOKEN.findall(answer.stdout))
            wrong["crossed"] += bool(seen - {token})
            wrong["lost"] += answer.ends != snippet.ends or token not in seen

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Cell(seconds, time.perf_counter() - started, **wrong)


def cell(
    run: Run, snippet: Snippet, clients: int, count: int, close: Callable[[], None], least: float = 0.0
) -> Cell:
    """The same in an event loop of its own, after a warm-up."""

    async def both() -> Cell:
        await run(snippet, "token-" + "0" * 32)
        try:
            return await measure(run, snippet, clients, count, least)
        finally:
            close()

    return asyncio.run(both())


def count_of(snippet: Snippet, clients: int, quick: bool) -> int:
    """How many programs a cell runs: a second each for time-outs, so few of them."""
    if snippet.ends == "timeout":
        return clients if quick else 2 * clients
    return max(8, clients) if quick else max(60, 4 * clients)


def report(ways: dict[str, tuple[Run, Callable[[], None]]], args: argparse.Namespace) -> int:
    """Measure and print cell by cell; returns the number of lost and crossed answers."""
    print(f"{'program':<9}{'clients':>8}{'n':>6}  {'way':<28}{'p50 ms':>9}{'p95 ms':>9}{'per s':>9}"
          f"{'ratio':>8}{'lost':>6}{'crossed':>9}")  # fmt: skip
    bad = 0
    for snippet in (one for one in SNIPPETS if one.name in args.programs):
        for clients in args.clients:
            base, count = 0.0, count_of(snippet, clients, args.quick)
            least = 0.0 if args.quick or snippet.ends == "timeout" else LEAST_SECONDS
            for name, (run, close) in ways.items():
                got = cell(run, snippet, clients, count, close, least)
                base = base or got.rate
                bad += 0 if run is plain else got.lost + got.crossed
                print(f"{snippet.name:<9}{clients:>8}{len(got.seconds):>6}  {name[:27]:<28}"
                      f"{got.quantile(0.5):>9.1f}{got.quantile(0.95):>9.1f}{got.rate:>9.1f}"
                      f"{got.rate / base:>8.2f}{got.lost:>6}{got.crossed:>9}", flush=True)  # fmt: skip
    return bad


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 when an answer was lost or crossed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", action="append", default=[], help="a running /run_code server; repeatable")
    parser.add_argument("--workers", type=int, help="programs at once of the embedded server")
    parser.add_argument("--quick", action="store_true", help="few programs a cell")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16, 64])
    names = [one.name for one in SNIPPETS]
    parser.add_argument("--programs", nargs="+", choices=names, default=names)
    args = parser.parse_args(argv)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    ways: dict[str, tuple[Run, Callable[[], None]]] = {"python -c": (plain, lambda: None)}
    with ExitStack() as stack:
        embedded = None if args.url else stack.enter_context(EmbeddedSandbox(workers=args.workers))
        for url in args.url or [embedded.url if embedded else ""]:
            server = Server(url)
            ways["embedded server" if embedded else url] = (server.run, server.close)
        before = tree_figures(embedded.pid) if embedded else None
        bad = report(ways, args)
        if embedded:
            print(f"server before: {before}\nserver after:  {tree_figures(embedded.pid)}")
    print(f"lost or crossed answers of servers: {bad}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
