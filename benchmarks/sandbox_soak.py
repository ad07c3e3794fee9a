"""Many clients, very many programs, and whatever is killed meanwhile: is any answer lost, crossed or late?

Each client sends its next program when the answer to its last one is there. Every program prints a token of
its own, and every answer is looked at. A 503 is waited out, as our clients do; a broken connection or an
infrastructure failure (HTTP 200, ``SandboxError``) is counted, and the program is sent again. ``lost`` are
answers that are not what the program must give, ``crossed`` those with another program's token, ``hung``
requests without any answer within ``--patience`` seconds; one of them makes the exit code 1. Usage::

    python benchmarks/sandbox_soak.py --quick
    python benchmarks/sandbox_soak.py --clients 1000 --requests 200000
    python benchmarks/sandbox_soak.py --quick --kill zygote --every 5
    python benchmarks/sandbox_soak.py --quick --kill server --every 10

The server is a ``retool sandbox serve`` of its own; it is started again when it dies, as a supervisor would.
"""

import argparse
import asyncio
import random
import re
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from recipe.retool.sandbox.bench.raw import RawAnswer, RawClient
from recipe.retool.sandbox.bench.tree import tree_figures
from recipe.retool.sandbox.embedded import address, listen

TOKEN = re.compile(r"token-[0-9a-f]{32}")
SERVE = "import sys; from recipe.retool.sandbox.cli import main; sys.exit(main(sys.argv[1:]))"
# The words of run_result that must come back, the share of all programs, the program and its time limit.
KINDS = (
    ("Finished", 0, 0.90, "print({token!r})", 60.0),
    ("Finished", 0, 0.05, "import numpy\nprint({token!r}, int(numpy.arange(9).sum()))", 60.0),
    ("Finished", 1, 0.04, "print({token!r})\n1 / 0", 60.0),
    ("TimeLimitExceeded", None, 0.01, "print({token!r}, flush=True)\nwhile True: pass", 0.5),
)


@dataclass
class Tally:
    """What has happened so far."""

    counts: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    recoveries: list[float] = field(default_factory=list)

    def good(self, sent: float, seconds: float) -> None:
        """Count a good answer to a program that was sent at this moment of the clock."""
        self.counts["good"] += 1
        self.seconds.append(seconds)
        if len(self.recoveries) < len(self.kills) and sent > self.kills[-1]:
            self.recoveries.append(time.monotonic() - self.kills[-1])

    def quantile(self, share: float) -> float:
        """Milliseconds within which this share of the good answers came."""
        ordered = sorted(self.seconds) or [0.0]
        return 1000 * ordered[min(int(share * len(ordered)), len(ordered) - 1)]


class Supervised:
    """A server process that is started again on its port when it has ended by itself."""

    def __init__(self, options: Sequence[str]) -> None:
        sock = listen("127.0.0.1", 0)
        self.url = address(sock)
        sock.close()
        port = self.url.rpartition(":")[2]
        self._command = [
            sys.executable,
            "-c",
            SERVE,
            "serve",
            "--port",
            port,
            "--log-level",
            "error",
            *options,
        ]
        self._start()

    def _start(self) -> None:
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)

    async def watch(self) -> None:
        """Look after it until cancelled."""
        while True:
            if self.process.poll() is not None:
                self._start()
            await asyncio.sleep(0.05)

    def kill(self, what: str) -> bool:
        """kill -9 the server, or the fork server below it; False when there is none."""
        if what == "server":
            self.process.kill()
            return True
        for child in psutil.Process(self.process.pid).children():
            with suppress(psutil.Error):
                if "recipe.retool.sandbox.zygote.main" in child.cmdline():
                    child.kill()
                    return True
        return False

    def stop(self) -> int:
        """End it in order; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


async def one(client: RawClient, tally: Tally, patience: float) -> None:
    """One program until it has a final answer."""
    kind = random.choices(KINDS, [kind[2] for kind in KINDS])[0]
    token = f"token-{uuid.uuid4().hex}"
    while True:
        sent = time.monotonic()
        try:
            answer = await client.run(kind[3].format(token=token), kind[4], patience=patience)
        except asyncio.TimeoutError:
            tally.counts["hung"] += 1
            return
        except (OSError, EOFError, ValueError):
            tally.counts["broken connections"] += 1
            await asyncio.sleep(random.uniform(0.1, 0.5))
            continue
        if answer.code == 503:
            tally.counts["503"] += 1
            await asyncio.sleep(float(answer.headers.get("retry-after", 1)) * random.uniform(1, 1.25))
        elif answer.body.get("status") == "SandboxError":
            tally.counts["infrastructure failures"] += 1
            await asyncio.sleep(random.uniform(0.05, 0.2))
        else:
            return judge(answer, token, (kind[0], kind[1]), tally, sent)


def judge(answer: RawAnswer, token: str, expected: tuple[str, int | None], tally: Tally, sent: float) -> None:
    """Count one final answer."""
    run = answer.run or {}
    seen = set(TOKEN.findall(str(run.get("stdout"))))
    if seen - {token}:
        tally.counts["crossed"] += 1
    elif seen != {token} or (run.get("status"), run.get("return_code")) != expected:
        tally.counts["lost"] += 1
    else:
        tally.good(sent, time.monotonic() - sent)


async def killer(server: Supervised, args: argparse.Namespace, tally: Tally) -> None:
    """Kill something now and then, but not before the last one has been recovered from."""
    what: str = args.kill
    while len(tally.kills) < args.kills:
        await asyncio.sleep(args.every)
        if len(tally.recoveries) == len(tally.kills) and server.kill(what):
            tally.kills.append(time.monotonic())


async def reporter(server: Supervised, tally: Tally, every: float) -> None:
    """A line now and then."""
    started = time.monotonic()
    while True:
        await asyncio.sleep(every)
        figures = await asyncio.to_thread(tree_figures, server.process.pid)
        good = tally.counts["good"]
        print(f"{time.monotonic() - started:6.0f} s  {good:>8} good  {figures}", flush=True)


async def soak(server: Supervised, args: argparse.Namespace, tally: Tally) -> float:
    """All programs from all clients; returns the seconds that it took."""
    left = iter(range(args.requests))
    raw = RawClient(server.url)

    async def client() -> None:
        for _ in left:
            await one(raw, tally, args.patience)

    aside = [asyncio.create_task(reporter(server, tally, args.report))]
    if args.kill:
        aside.append(asyncio.create_task(killer(server, args, tally)))
    started = time.monotonic()
    await asyncio.gather(*(client() for _ in range(args.clients)))
    for task in aside:
        task.cancel()
    await asyncio.gather(*aside, return_exceptions=True)
    raw.close()
    return time.monotonic() - started


async def whole(args: argparse.Namespace) -> int:
    """Warm up, soak, report; the exit code."""
    options = ["--workers", str(args.workers)] if args.workers else []
    server, tally, warm = Supervised([*options, "--isolation", args.isolation]), Tally(), Tally()
    watch = asyncio.create_task(server.watch())
    try:
        few = {"requests": min(200, args.requests), "clients": 16, "kill": None}
        quiet = argparse.Namespace(**{**vars(args), **few})
        await soak(server, quiet, warm)
        before = tree_figures(server.process.pid)
        print(f"before: {before}", flush=True)
        wall = await soak(server, args, tally)
        await asyncio.sleep(1)
        print(f"after:  {tree_figures(server.process.pid)}")
        pid = server.process.pid
        family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    finally:
        watch.cancel()
        code = server.stop()
    left_over = sum(psutil.pid_exists(pid) for pid in family)
    return verdict(args, tally, wall, f"server's exit code {code}, processes left over {left_over}")


def verdict(args: argparse.Namespace, tally: Tally, wall: float, end: str) -> int:
    """Print the figures; the exit code."""
    counts = tally.counts
    rate = f"{args.requests / wall:.0f} a second"
    print(f"{args.requests} programs from {args.clients} clients in {wall:.0f} s: {rate}, "
          f"p50 {tally.quantile(0.5):.0f} ms, p95 {tally.quantile(0.95):.0f} ms")  # fmt: skip
    names = ("good", "lost", "crossed", "hung", "503", "broken connections", "infrastructure failures")
    print(", ".join(f"{name} {counts[name]}" for name in names))
    if args.kill:
        recovered = ", ".join(f"{seconds:.2f}" for seconds in tally.recoveries)
        print(f"{len(tally.kills)} times kill -9 of the {args.kill}; good answers again after {recovered} s")
    print(end)
    bad = counts["lost"] + counts["crossed"] + counts["hung"]
    return 1 if bad or counts["good"] != args.requests else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, raise the limit of open files, soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int)
    parser.add_argument("--requests", type=int)
    parser.add_argument("--quick", action="store_true", help="100 clients, 5,000 programs")
    parser.add_argument("--workers", type=int, help="programs at once; default: the server's own")
    parser.add_argument("--isolation", default="auto")
    parser.add_argument("--kill", choices=["zygote", "server"])
    parser.add_argument("--every", type=float, default=10.0, help="seconds between kills")
    parser.add_argument("--kills", type=int, default=10**6, help="kills at most")
    parser.add_argument("--report", type=float, default=10.0, help="seconds between lines")
    parser.add_argument("--patience", type=float, default=120.0)
    args = parser.parse_args(argv)
    args.clients = args.clients or (100 if args.quick else 1000)
    args.requests = args.requests or (5000 if args.quick else 200_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    return asyncio.run(whole(args))


if __name__ == "__main__":
    sys.exit(main())
