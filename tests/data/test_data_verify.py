import subprocess
import sys

import pytest
from data_rows import code, output, raw_row

from recipe.retool.data.io import SourceRow
from recipe.retool.data.report import PrepReport
from recipe.retool.data.sft import SftRow, read_sft_row
from recipe.retool.data.verify import Reproduction, check_row, check_rows, program_with_state, with_checks
from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus


class LocalRunner:
    """Runs trusted test programs in a fresh interpreter."""

    def run(self, code: str) -> ExecutionResult:
        done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=30)
        status = ExecutionStatus.ERROR if done.returncode else ExecutionStatus.OK
        return ExecutionResult(status, done.stdout, done.stderr, done.returncode)


class FixedRunner:
    def __init__(self, result: ExecutionResult) -> None:
        self.result = result

    def run(self, code: str) -> ExecutionResult:
        return self.result


def row(*runs: tuple[str, str]) -> SftRow:
    text = "".join(f"{code(program)}\n{output(recorded)}\n" for program, recorded in runs)
    return read_sft_row(SourceRow(3, "x row 3", raw_row(text + "\\boxed{1}")))


def outcomes(*runs: tuple[str, str]) -> list[str]:
    return [check.outcome.name for check in check_row(row(*runs), LocalRunner())]


def test_an_output_that_comes_again() -> None:
    assert outcomes(("print(1+2)", "3")) == ["SAME"]


def test_a_last_expression_is_shown_as_the_interpreter_shows_it() -> None:
    assert outcomes(("x = 1+2\nx", "3"), ("y = x + 1\ny", "4")) == ["SAME", "NEEDS_EARLIER"]


def test_silence_comes_again() -> None:
    assert outcomes(("x = 1", "")) == ["SAME"]


def test_an_output_that_does_not_come_again_is_shown() -> None:
    (check,) = check_row(row(("print(1+2)", "4")), LocalRunner())
    assert (check.row, check.block, check.outcome) == (3, 0, Reproduction.DIFFERS)
    assert check.detail == "recorded '4', now '3'"


def test_an_output_that_needs_an_earlier_block() -> None:
    assert outcomes(("x = 2\nprint('noise')", "noise"), ("print(x)", "2")) == ["SAME", "NEEDS_EARLIER"]


def test_earlier_blocks_that_fail_or_exit_are_passed_over() -> None:
    runs = [
        ("x = 2\n1/0", "ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(1)", ""),
        ("print(x)", "2"),
    ]
    assert outcomes(*runs)[-1] == "NEEDS_EARLIER"


def test_a_missing_name_that_no_block_defines_is_a_difference() -> None:
    assert outcomes(("y = 1", ""), ("print(x)", "2")) == ["SAME", "DIFFERS"]


def test_a_recorded_missing_name_is_what_comes_again() -> None:
    assert outcomes(("x = 1", ""), ("print(x)", "NameError: name 'x' is not defined")) == ["SAME", "SAME"]


def test_of_a_recorded_traceback_the_last_line_counts() -> None:
    recorded = (
        'Traceback (most recent call last):\n  File "/tmp/a.py", line 9\nZeroDivisionError: division by zero'
    )
    assert outcomes(("1/0", recorded)) == ["SAME"]


def test_state_keeps_quotes_and_newlines_of_the_programs() -> None:
    program = program_with_state(['s = """a\n\'b\'"""', "braces = '{}'"], "print(repr(s), braces)")
    assert LocalRunner().run(program).stdout == "\"a\\n'b'\" {}\n"


def test_a_time_out_is_a_difference() -> None:
    (check,) = check_row(
        row(("while True: pass", "1")), FixedRunner(ExecutionResult(ExecutionStatus.TIMEOUT))
    )
    assert check.outcome is Reproduction.DIFFERS
    assert "time limit" in check.detail


def test_a_dead_sandbox_is_an_error() -> None:
    runner = FixedRunner(ExecutionResult(ExecutionStatus.UNAVAILABLE, message="connection refused"))
    with pytest.raises(SandboxError, match="connection refused"):
        check_row(row(("1", "")), runner)


def test_many_rows_keep_their_order_and_share_no_runner() -> None:
    rows = [row((f"print({n})", str(n)), ("1/0", "2")) for n in range(6)]
    made: list[LocalRunner] = []

    def make() -> LocalRunner:
        made.append(LocalRunner())
        return made[-1]

    results = list(check_rows(rows, make, jobs=3))
    assert [[check.outcome.name for check in checks] for checks in results] == [["SAME", "DIFFERS"]] * 6
    assert 1 <= len(made) <= 3


def test_a_dead_sandbox_ends_the_whole_check() -> None:
    calls: list[str] = []

    class Dead:
        def run(self, code: str) -> ExecutionResult:
            calls.append(code)
            return ExecutionResult(ExecutionStatus.UNAVAILABLE)

    with pytest.raises(SandboxError):
        list(check_rows([row(("1", ""))] * 1000, Dead, jobs=1))
    assert len(calls) < 1000


def test_the_report_counts_blocks_and_lists_the_odd_ones() -> None:
    checks = check_row(row(("print(1)", "1"), ("print(2)", "3")), LocalRunner())
    report = with_checks(PrepReport("t", ("in",), "out", 1, 1), checks)
    assert sorted(report.noted.values()) == [1, 1]
    assert [note.where for note in report.notes] == ["row 3 code block 1"]
