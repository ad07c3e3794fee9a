"""Do the recorded outputs of a trace come out again? Runs the code blocks and compares.

A model trained on outputs that its own sandbox would not give learns to mistrust the sandbox, or to
invent. Each block runs alone and becomes text as in the recipe's code interpreter; a block that fails
alone for a missing name and comes right after the earlier blocks needs a state that the interpreter does
not keep.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import Enum
from typing import Protocol

from recipe.retool.data.report import Note, PrepReport
from recipe.retool.data.sft import SftRow
from recipe.retool.data.traces import CodeBlock
from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.snippet import echo_last_expression
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.tools.result import recorded_result_text, result_text

_SHOWN = 60  # characters of an output in a note

# The earlier blocks run in the same namespace with their output thrown away; one that fails is passed over,
# as it was when the trace was recorded. The last block runs as the program would.
_WITH_STATE = """\
import contextlib as _contextlib, io as _io
for _source in {earlier!r}:
    with _contextlib.redirect_stdout(_io.StringIO()), _contextlib.suppress(Exception, SystemExit):
        exec(compile(_source, "<earlier block>", "exec"), globals())
exec(compile({code!r}, "<block>", "exec"), globals())
"""


class CodeRunner(Protocol):
    """Whatever runs a program: a sandbox client, or a function in a test."""

    def run(self, code: str) -> ExecutionResult:
        """Run ``code`` in a fresh process and return what came of it."""
        ...


class Reproduction(Enum):
    """Outcome for one block; the values are the words of the report."""

    SAME = "recorded output comes out again"
    NEEDS_EARLIER = "recorded output needs the state of earlier blocks"
    DIFFERS = "recorded output does not come out again"


@dataclass(frozen=True)
class BlockCheck:
    """Outcome for one block.

    Attributes:
        row: Number of the source row, from 0.
        block: Number of the block in its row, from 0.
        outcome: What came of it.
        detail: Recorded and new output, shortened; empty when they are the same.
    """

    row: int
    block: int
    outcome: Reproduction
    detail: str = ""


def check_row(row: SftRow, runner: CodeRunner) -> list[BlockCheck]:
    """Run all blocks of one row.

    Raises:
        SandboxError: The sandbox could not run a block at all.
    """
    blocks = row.trace.blocks
    return [_check_block(row.row, blocks, number, runner) for number in range(len(blocks))]


def check_rows(
    rows: Iterable[SftRow], make_runner: Callable[[], CodeRunner], jobs: int
) -> Iterator[list[BlockCheck]]:
    """Run the blocks of many rows, ``jobs`` rows at a time; yields in the order of the rows.

    Args:
        rows: Rows; all are read before the first result comes.
        make_runner: Called once in each thread.
        jobs: Number of threads.

    Raises:
        SandboxError: The sandbox could not run a block at all; the rows not begun are given up.
    """
    own = threading.local()

    def check(row: SftRow) -> list[BlockCheck]:
        if not hasattr(own, "runner"):
            own.runner = make_runner()
        return check_row(row, own.runner)

    pool = ThreadPoolExecutor(jobs)
    try:
        yield from pool.map(check, rows)
    finally:
        pool.shutdown(cancel_futures=True)


def with_checks(report: PrepReport, checks: Iterable[BlockCheck]) -> PrepReport:
    """The report with the outcome of every block counted, and those that are not the same listed."""
    counts: Counter[str] = Counter()
    notes = []
    for check in checks:
        counts[check.outcome.value] += 1
        if check.outcome is not Reproduction.SAME:
            where = f"row {check.row} code block {check.block}"
            notes.append(Note(where, f"{check.outcome.value}: {check.detail}"))
    noted = {**report.noted, **{f"{words} (code blocks)": count for words, count in counts.items()}}
    return replace(report, noted=noted, notes=(*report.notes, *notes))


def program_with_state(earlier: Iterable[str], code: str) -> str:
    """A program that runs ``earlier`` silently, then ``code`` as the interpreter would, in one namespace."""
    return _WITH_STATE.format(earlier=list(earlier), code=echo_last_expression(code))


def reproduces(result: ExecutionResult, recorded: str) -> bool:
    """True when the model would see the recorded text.

    Of a failed run the last line of the traceback is enough: the rest differs between Python versions.
    """
    expected = recorded_result_text(recorded)
    if result_text(result) == expected:
        return True
    return not result.ok and _last_line(result.stderr) == _last_line(expected)


def _check_block(row: int, blocks: tuple[CodeBlock, ...], number: int, runner: CodeRunner) -> BlockCheck:
    block = blocks[number]
    result = _run(runner, echo_last_expression(block.code))
    if reproduces(result, block.recorded):
        return BlockCheck(row, number, Reproduction.SAME)
    detail = f"recorded {_short(recorded_result_text(block.recorded))}, now {_short(result_text(result))}"
    if number > 0 and _last_line(result.stderr).startswith("NameError"):
        program = program_with_state((earlier.code for earlier in blocks[:number]), block.code)
        if reproduces(_run(runner, program), block.recorded):
            return BlockCheck(row, number, Reproduction.NEEDS_EARLIER, detail)
    return BlockCheck(row, number, Reproduction.DIFFERS, detail)


def _run(runner: CodeRunner, code: str) -> ExecutionResult:
    result = runner.run(code)
    if result.status is ExecutionStatus.UNAVAILABLE:
        raise SandboxError(f"the sandbox could not run a code block: {result.message or 'no reason given'}")
    return result


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else ""


def _short(text: str) -> str:
    # The end says most: of a traceback it is the error.
    return repr(text if len(text) <= _SHOWN else "..." + text[-_SHOWN:])
