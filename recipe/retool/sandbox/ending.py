"""How a run ends, for every runner: the first of several events, and what it means."""

import asyncio
import signal
from collections.abc import Awaitable
from typing import Any

from recipe.retool.sandbox.protocol import status_of_exit
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus


async def first_of(*waits: Awaitable[Any], timeout: float) -> bool:
    """Wait until one is done; False on time-out. The others are cancelled."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for task in tasks:
            task.cancel()


def flood_note(most: int) -> str:
    """What standard error ends with when a program was killed for printing without end."""
    return f"\n[killed: the program printed more than {most >> 20} MiB]"


def result_of(
    code: int, in_time: bool, stdout: str, stderr: str, seconds: float, flooded: bool = False
) -> ExecutionResult:
    """The result of a run that the sandbox carried out to its end; ``flooded``: it printed too much."""
    if not in_time or code == -signal.SIGXCPU:
        return ExecutionResult(ExecutionStatus.TIMEOUT, stdout, stderr, None, seconds)
    status = ExecutionStatus.OUTPUT_LIMIT if flooded else status_of_exit(code, stderr)
    return ExecutionResult(status, stdout, stderr, code, seconds)
