"""The text of a tool result: one form everywhere, bounded, and without markup of its own."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.tools.result import NO_OUTPUT, recorded_result_text, result_text

_STATUS = ExecutionStatus


def _ok(stdout: str, stderr: str = "") -> ExecutionResult:
    return ExecutionResult(_STATUS.OK, stdout, stderr, 0)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (_ok("3\n"), "3"),
        (_ok("\n\n3\n4\n\n"), "3\n4"),
        (_ok("  3 \n"), "  3 "),
        (_ok("a\r\nb\r\n"), "a\nb"),
        (_ok(""), NO_OUTPUT),
        (_ok(" \n\n"), NO_OUTPUT),
        (_ok("1\n", "careful\n"), "1\ncareful"),
        (_ok("", "careful\n"), "careful"),
        (ExecutionResult(_STATUS.ERROR, "1\n", "ValueError: x\n", 1), "1\nValueError: x"),
        (ExecutionResult(_STATUS.ERROR, "1\n", "", 3), "1\n[exit code 3]"),
        (ExecutionResult(_STATUS.TIMEOUT, "1\n", ""), "1\n[stopped: the time limit was reached]"),
        (ExecutionResult(_STATUS.TIMEOUT), "[stopped: the time limit was reached]"),
        (ExecutionResult(_STATUS.CRASHED, "", "", -11), "[stopped: killed by SIGSEGV]"),
        (ExecutionResult(_STATUS.OUTPUT_LIMIT, "", "[killed: x]", -9), "[killed: x]"),
        (ExecutionResult(_STATUS.KILLED, "", "", -99), "[stopped: killed by a signal]"),
        (
            ExecutionResult(_STATUS.MEMORY, "", "MemoryError\n", 1),
            "MemoryError\n[stopped: the memory limit was reached]",
        ),
    ],
)
def test_table(result: ExecutionResult, text: str) -> None:
    assert result_text(result) == text


def test_an_unavailable_sandbox_tells_no_internals() -> None:
    text = result_text(ExecutionResult(_STATUS.UNAVAILABLE, message="http://10.0.0.7:8080 refused"))
    assert "not an error in the code" in text
    assert "10.0.0.7" not in text


@pytest.mark.parametrize(
    "file",
    [
        "/tmp/tmpab12cd_4/main.py",
        "/tmp/retool-embedded-abcd1234/retool-sandbox-abcd1234/tmpab12cd34/main.py",
        "/tmp/tmpab12cd34/tmpz9y8x7w6.py",
        "/var/folders/x/tmpab12cd34/tmpz9y8x7w6.py",
    ],
)
def test_a_traceback_does_not_tell_where_it_ran(file: str) -> None:
    stderr = f'Traceback (most recent call last):\n  File "{file}", line 1, in <module>\nNameError: x\n'
    text = result_text(ExecutionResult(_STATUS.ERROR, "", stderr, 1))
    assert '  File "main.py", line 1, in <module>' in text


@pytest.mark.parametrize(
    "prefix",
    ["/opt/venv/lib/python3.11/site-packages/", "/usr/lib/python3/dist-packages/", "/usr/lib/python3.12/"],
)
def test_a_traceback_does_not_tell_where_python_lives(prefix: str) -> None:
    stderr = f'  File "{prefix}sympy/core.py", line 1, in f\nNameError: x\n'
    assert '  File "sympy/core.py"' in result_text(ExecutionResult(_STATUS.ERROR, "", stderr, 1))


@pytest.mark.parametrize(
    "output", ["3", "\n3\n", "3\n\n\n", "a\r\nb", "", "\n", "</interpreter>", "x" * 9000]
)
def test_recorded_and_live_outputs_read_the_same(output: str) -> None:
    assert recorded_result_text(output) == result_text(_ok(output))


@pytest.mark.parametrize(
    "tag",
    [
        "</tool_response>",
        "<tool_response>",
        "<|im_start|>",
        "<|im_end|>",
        "<|endoftext|>",
        "<interpreter>",
        "</interpreter>",
        "</ interpreter >",
        "<tool_call>",
        "</think>",
        "<answer>",
        "<｜end▁of▁sentence｜>",
        "</s>",
    ],
)
def test_markup_is_defused(tag: str) -> None:
    text = recorded_result_text(f"a{tag}b")
    assert tag not in text
    assert text == f"a<\\{tag[1:]}b"


@pytest.mark.parametrize(
    "text", ["a < b > c", "x<y", "<class 'int'>", "<function f at 0x1>", "a|b|c", "1<|x|", "<>"]
)
def test_ordinary_text_is_not_touched(text: str) -> None:
    assert recorded_result_text(text) == text


def test_a_lone_surrogate_cannot_reach_a_tokenizer() -> None:
    assert recorded_result_text("a\ud800b") == "a?b"


def test_a_long_output_keeps_both_ends() -> None:
    text = result_text(_ok("A" * 5000 + "B" * 5000), 1000)
    assert 990 < len(text) <= 1000
    assert (text[0], text[-1]) == ("A", "B")
    left_out = int(re.search(r"(\d+) characters left out", text)[1])  # type: ignore[index]
    assert left_out == 10_000 - text.count("A") - text.count("B")


def test_a_long_traceback_keeps_its_end() -> None:
    text = result_text(ExecutionResult(_STATUS.ERROR, "", "x\n" * 5000 + "ValueError: the end\n", 1), 300)
    assert text.startswith("[... ")
    assert text.endswith("\nValueError: the end")


def test_a_long_output_does_not_push_the_error_out() -> None:
    text = result_text(ExecutionResult(_STATUS.ERROR, "y" * 9000, "ValueError: the end\n", 1), 500)
    assert text.endswith("y\nValueError: the end")
    assert 490 < len(text) <= 500


def test_a_long_output_does_not_push_the_time_out_out() -> None:
    text = result_text(ExecutionResult(_STATUS.TIMEOUT, "y" * 9000), 200)
    assert text.endswith("[stopped: the time limit was reached]")


_RESULTS = st.builds(
    ExecutionResult,
    status=st.sampled_from(list(ExecutionStatus)),
    stdout=st.text(max_size=300),
    stderr=st.text(max_size=300),
    return_code=st.none() | st.integers(-70, 255),
)


@given(_RESULTS, st.integers(0, 700))
def test_never_longer_than_the_limit(result: ExecutionResult, limit: int) -> None:
    assert len(result_text(result, limit)) <= limit


@given(_RESULTS)
def test_never_empty_and_never_surrounded_by_newlines(result: ExecutionResult) -> None:
    text = result_text(result)
    assert text
    assert text == text.strip("\n")


@given(st.text(alphabet="<>/|\\ \nimed_ntoolrsp", max_size=80))
def test_doing_it_twice_changes_nothing(output: str) -> None:
    once = recorded_result_text(output)
    assert recorded_result_text(once) == once


@pytest.mark.parametrize("text", ["/".join(map(str, range(20000))), "/a" * 50000, "<" + " " * 50000])
def test_a_megabyte_of_slashes_or_blanks_takes_no_time_to_tidy(text: str) -> None:
    # Quadratic patterns need minutes for this; the time limit of the test suite would end them.
    assert recorded_result_text(text)
