"""Echo of the last expression: what is rewritten, what is not, and that nothing else changes."""

import ast
import contextlib
import io
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.sandbox.snippet import echo_last_expression


def _printed(code: str) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "main.py", "exec"), {"__name__": "__main__"})
    return out.getvalue()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1+1", "2\n"),
        ("x = 3\nx", "3\n"),
        ("x = 3\nx  # the answer", "3\n"),
        ("x = 3; x", "3\n"),
        ("x = 3; x;", "3\n"),
        ("sum(\n  [1,\n   2,\n  ]\n)", "3\n"),
        ("'é' * 2; len('日本')", "2\n"),
        ("1, 2", "(1, 2)\n"),
        ("*[1, 2], 3", "(1, 2, 3)\n"),
        ("(y := 5)", "5\n"),
        ("lambda: 0 if 1 else 2\n4", "4\n"),
        ("x = 1\r\nx + 1\r\n", "2\n"),
        ("x = 1\n\n\nx\n\n\n# done", "1\n"),
        ("1 + \\\n  1", "2\n"),
        ("[].append(1)", ""),
        ("f'{1}' + 'a'", "1a\n"),
        ("x = '''a\n\x0cb'''\nlen(x)", "4\n"),
        ("0", "0\n"),
        ("False", "False\n"),
    ],
)
def test_last_expression_is_printed(code: str, expected: str) -> None:
    assert _printed(echo_last_expression(code)) == expected


@pytest.mark.parametrize(
    "code",
    [
        "",
        "\n\n",
        "# only a comment",
        "x = 5",
        "print(1)",
        "print(1)  # shown",
        "for i in range(2):\n    i",
        "if True:\n    1 + 1",
        "def f():\n    return 1",
        "x = 1; print(x)",
        "import math",
        '"""done"""',
        "None",
        "...",
        "def f(:",
        "print(1",
        "x = 1\n  y = 2",
        "\x00",
        "\ud800",
        "(" * 300,
        "-" * 100_000 + "1",
    ],
)
def test_other_programs_come_back_as_they_are(code: str) -> None:
    assert echo_last_expression(code) == code


def test_line_numbers_stay() -> None:
    code = echo_last_expression("a = 1\n\n\nb = (\n  0)\na / b")
    with pytest.raises(ZeroDivisionError) as caught:
        _printed(code)
    assert caught.traceback[-1].lineno + 1 == 6


def test_invalid_escape_raises_no_warning_here() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert echo_last_expression("x = '\\d'\nx").startswith("x = '\\d'\n_ = x")


_STATEMENTS = st.sampled_from(
    ["x = 1", "x = 'é日'", "if x:\n    x", "for i in (1, 2):\n    i", "def f():\n    '''doc'''\n    return 2",
     "x += 1 # c", "y = (\n 1,\n)", "import math", "z = '''\n1 + 1\n'''", "pass; pass"]
)  # fmt: skip
_EXPRESSIONS = st.sampled_from(["x", "x, 1", "(\n x\n)", "f'{1}'", "[i for i in (1, 2)]", "x  # é", "not x;"])


@given(st.lists(_STATEMENTS, max_size=6))
def test_no_final_expression_no_change(lines: list[str]) -> None:
    code = "\n".join(lines)
    assert echo_last_expression(code) == code


@given(st.lists(_STATEMENTS, max_size=6), _EXPRESSIONS, st.sampled_from(["", "\n", "\n\n# end"]))
def test_all_that_comes_before_is_kept(lines: list[str], last: str, end: str) -> None:
    code = "\n".join([*lines, last]) + end
    before, after = ast.parse(code), ast.parse(echo_last_expression(code))
    kept = [ast.dump(node, include_attributes=True) for node in after.body[: len(before.body) - 1]]
    assert kept == [ast.dump(node, include_attributes=True) for node in before.body[:-1]]


@given(st.text(max_size=60))
def test_any_text_is_survived(text: str) -> None:
    assert isinstance(echo_last_expression(text), str)
