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
import json
import re
import resource
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import psutil

from recipe.retool.sandbox.embedded import EmbeddedSandbox, usable_cores

MIB = 1024 * 1024
BOMB_MIB = 128
TOKEN = re.compile(r"token-[0-9a-f]{32}")
# The time-out, and what a server that is late may take on top before its answer counts as lost.
TIMEOUT, PATIENCE = 1.0, 300.0


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
    """A /run_code server over plain sockets: a full HTTP client would cost more than the server does."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._path = parts.path.rstrip("/").removesuffix("/run_code") + "/run_code"
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(self, snippet: Snippet, token: str) -> Answer:
        """Send one program."""
        body = {"code": program(snippet, token), "language": "python", "run_timeout": snippet.timeout,
                "memory_limit_MB": snippet.memory_mib}  # fmt: skip
        try:
            status, answer = await asyncio.wait_for(self._post(json.dumps(body).encode()), PATIENCE)
        except (OSError, ValueError, EOFError, asyncio.TimeoutError):
            return Answer("lost")
        run = answer.get("run_result") if status == 200 else None
        if not isinstance(run, dict):
            return Answer("lost")
        return Answer(_ending(run.get("status"), run.get("return_code")), str(run.get("stdout")))

    async def _post(self, body: bytes) -> tuple[int, dict[str, object]]:
        while True:
            reused = bool(self._idle)
            reader, writer = self._idle.pop() if reused else await asyncio.open_connection(
                self._host, self._port)  # fmt: skip
            head = (f"POST {self._path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n")  # fmt: skip
            try:
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
            except (OSError, EOFError):
                writer.close()
                if reused:  # the server closed it between two requests
                    continue
                raise
            lines = answer.decode("latin-1").lower().split("\r\n")
            fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
            content = await reader.readexactly(int(fields["content-length"]))
            self._idle.append((reader, writer))
            return int(lines[0].split()[1]), json.loads(content)

    def close(self) -> None:
        """Drop the connections: they belong to one event loop."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()


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


async def measure(run: Run, snippet: Snippet, clients: int, count: int) -> Cell:
    """``count`` programs from so many clients."""
    left = iter(range(count))
    seconds: list[float] = []
    wrong = {"lost": 0, "crossed": 0}

    async def client() -> None:
        for _ in left:
            token = f"token-{uuid.uuid4().hex}"
            started = time.perf_counter()
            answer = await run(snippet, token)
            seconds.append(time.perf_counter() - started)
            seen = set(TOKEN.findall(answer.stdout))
            wrong["crossed"] += bool(seen - {token})
            wrong["lost"] += answer.ends != snippet.ends or token not in seen

    started = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return Cell(seconds, time.perf_counter() - started, **wrong)


def cell(run: Run, snippet: Snippet, clients: int, count: int, close: Callable[[], None]) -> Cell:
    """The same in an event loop of its own, after a warm-up."""

    async def both() -> Cell:
        await run(snippet, "token-" + "0" * 32)
        try:
            return await measure(run, snippet, clients, count)
        finally:
            close()

    return asyncio.run(both())


def memory_of(pid: int) -> str:
    """Resident memory of a server and everything below it; shared pages count in each in RSS, once in PSS."""
    found = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    rss = pss = 0
    for process in found:
        try:
            full = process.memory_full_info()
        except psutil.Error:  # it has just ended, or it is not ours
            continue
        rss += full.rss
        pss += getattr(full, "pss", full.rss)
    return f"RSS {rss / MIB:.0f} MiB, PSS {pss / MIB:.0f} MiB in {len(found)} processes"


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
            for name, (run, close) in ways.items():
                got = cell(run, snippet, clients, count, close)
                base = base or got.rate
                bad += 0 if run is plain else got.lost + got.crossed
                print(f"{snippet.name:<9}{clients:>8}{count:>6}  {name[:27]:<28}{got.quantile(0.5):>9.1f}"
                      f"{got.quantile(0.95):>9.1f}{got.rate:>9.1f}{got.rate / base:>8.2f}{got.lost:>6}"
                      f"{got.crossed:>9}", flush=True)  # fmt: skip
    return bad


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; exit code 1 when an answer was lost or crossed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", action="append", default=[], help="a running /run_code server; repeatable")
    parser.add_argument("--workers", type=int, default=usable_cores(), help="of the embedded server")
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
            ways[f"embedded, {args.workers} workers" if embedded else url] = (server.run, server.close)
        before = memory_of(embedded.pid) if embedded else ""
        bad = report(ways, args)
        if embedded:
            print(f"server before: {before}\nserver after:  {memory_of(embedded.pid)}")
    print(f"lost or crossed answers of servers: {bad}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
