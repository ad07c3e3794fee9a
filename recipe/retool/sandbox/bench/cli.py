"""``retool sandbox bench``: how many calls a second a server takes, and what that is of a training step."""

import argparse
import asyncio
import os
import sys
import time
from contextlib import nullcontext
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.bench.raw import RawClient
from recipe.retool.sandbox.bench.sizing import Step
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.limits import usable_cores
from recipe.retool.sandbox.wire import TOKEN_VARIABLE

if TYPE_CHECKING:
    Verbs = argparse._SubParsersAction[argparse.ArgumentParser]

_PROGRAMS = {
    "print": ("print(6 * 7)", "42\n"),
    "numpy": ("import numpy as np\nprint(int(np.arange(10).sum()))", "45\n"),
    "sympy": ("import sympy\nprint(sympy.factorint(360))", "{2: 3, 3: 2, 5: 1}\n"),
}


@dataclass(frozen=True)
class Cell:
    """Figures of one program and one number of clients; times in seconds."""

    program: str
    clients: int
    rate: float
    p50: float
    p95: float


def add_bench(verbs: "Verbs") -> None:
    """Add the verb to a parser; its function is ``run`` of the parsed arguments."""
    one = verbs.add_parser("bench", help="measure a server, and what it means for a training step")
    one.add_argument("url", nargs="?", help=f"address; its token, if any, in {TOKEN_VARIABLE}")
    one.add_argument("--embedded", action="store_true", help="start a server here instead")
    one.add_argument("--clients", type=int, nargs="+", default=[1, 16, 64])
    one.add_argument("--seconds", type=float, default=3.0, help="length of one measurement (default: 3)")
    one.add_argument("--cores", type=int, default=usable_cores(), help="of the server (default: those here)")
    step = Step()
    one.add_argument("--batch", type=int, default=step.batch, help="prompts in a training step")
    one.add_argument("--samples", type=int, default=step.samples, help="answers for each prompt")
    one.add_argument("--turns", type=int, default=step.turns, help="calls of each answer, at most")
    one.add_argument("--step-seconds", type=float, default=step.seconds, help="length of a training step")
    one.add_argument("--share", type=float, default=0.05, help="of the step that calls may take")
    one.set_defaults(run=_bench)


def _bench(args: argparse.Namespace) -> int:
    if (args.url is None) is not args.embedded:
        raise SandboxError("bench: give an address or --embedded")
    step = Step(args.batch, args.samples, args.turns, args.step_seconds)
    numbers = (*args.clients, args.seconds, args.cores, args.share, *astuple(step))
    if not all(number > 0 for number in numbers):
        raise SandboxError("bench: all numbers must be greater than 0")
    with EmbeddedSandbox() if args.embedded else nullcontext() as sandbox:
        url = sandbox.url if sandbox is not None else args.url
        _say(f"{url}, {args.cores} cores")
        _say(f"{'program':<8}{'clients':>8}{'calls/s':>9}{'p50 ms':>9}{'p95 ms':>9}")
        best: dict[str, float] = {}
        for program in _PROGRAMS:
            for clients in args.clients:
                cell = asyncio.run(measure(url, program, clients, args.seconds))
                best[program] = max(best.get(program, 0.0), cell.rate)
                _say(f"{program:<8}{clients:>8}{cell.rate:>9.1f}{1e3 * cell.p50:>9.1f}{1e3 * cell.p95:>9.1f}")
    _say(f"\n{step.batch} prompts x {step.samples} samples x {step.turns} turns = {step.calls} calls a step, "
         f"of {step.seconds:g} s")  # fmt: skip
    for program, rate in best.items():
        _say(_sentence(program, rate, step, args.cores, args.share))
    return 0


def _sentence(program: str, rate: float, step: Step, cores: int, share: float) -> str:
    return (
        f"{program:<8}{step.calls / rate:8.1f} s at {rate:.0f} a second: {step.share(rate):.1%} of the step; "
        f"below {share:.0%} with {step.cores(rate, cores, share)} cores"
    )


async def measure(url: str, program: str, clients: int, seconds: float) -> Cell:
    """Run a program from so many clients for so many seconds.

    Raises:
        SandboxError: An answer is missing or wrong.
    """
    code, expected = _PROGRAMS[program]
    client = RawClient(url, os.environ.get(TOKEN_VARIABLE, "").strip())
    times: list[float] = []

    async def call() -> None:
        try:
            answer = await client.run(code, patience=60.0)
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
            raise SandboxError(f"{url}: {type(error).__name__}: {error}") from error
        if answer.run is None or answer.run.get("stdout") != expected:
            raise SandboxError(f"{url}: HTTP {answer.code}: {str(answer.body)[:300]}")

    async def loop(end: float) -> None:
        while time.monotonic() < end:
            started = time.monotonic()
            await call()
            times.append(time.monotonic() - started)

    try:
        await call()  # a library's first import is not the server's pace
        started = time.monotonic()
        await asyncio.gather(*(loop(started + seconds) for _ in range(clients)))
        wall = time.monotonic() - started
    finally:
        client.close()
    times.sort()
    return Cell(program, clients, len(times) / wall, _quantile(times, 0.5), _quantile(times, 0.95))


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
