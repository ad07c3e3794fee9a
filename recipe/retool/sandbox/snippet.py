"""Showing the value of a program's last expression, as a Python prompt would.

Models often end a program with a bare expression and no ``print``; without help they would see nothing.
"""

import ast
import re
import warnings

_LINE_END = re.compile(rb"\r\n|\r|\n")
# A name that a prompt binds as well. Not print(...) around the expression: that would print every None,
# and a traceback would show a line that looks little like the model's own.
_PREFIX = b"_ = "
_SUFFIX = b"\nif _ is not None: print(_)\n"


def echo_last_expression(code: str) -> str:
    """The program, changed so that the value of its last statement is printed.

    Only when that statement is an expression at top level that shows nothing by itself: not a call of
    ``print``, not a string (a closing comment, mostly), not ``None`` or ``...``. A value None is not
    printed. Line numbers stay as they are. A program that is not valid Python comes back unchanged, so
    that the model meets its own error.

    Args:
        code: Python source.

    Returns:
        Python source; the very same text when there is nothing to show.
    """
    tree = _parse(code)
    if tree is None or not tree.body:
        return code
    last = tree.body[-1]
    if not isinstance(last, ast.Expr) or _shows_nothing_new(last.value):
        return code
    source = code.encode("utf-8")
    start = _offset(source, last.lineno, last.col_offset)
    echoed = (source[:start] + _PREFIX + source[start:] + _SUFFIX).decode("utf-8")
    return echoed if _only_echo_added(tree, last, _parse(echoed)) else code


def _parse(code: str) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape is the model's affair, not our log's
        try:
            return ast.parse(code)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _shows_nothing_new(value: ast.expr) -> bool:
    if isinstance(value, ast.Call):
        return isinstance(value.func, ast.Name) and value.func.id == "print"
    return isinstance(value, ast.Constant) and (value.value in (None, ...) or isinstance(value.value, str))


def _offset(source: bytes, line: int, column: int) -> int:
    """Offset in bytes of a position as ``ast`` gives it: lines from 1, columns in UTF-8 bytes."""
    starts = [0, *(match.end() for match in _LINE_END.finditer(source))]
    return starts[line - 1] + column


def _only_echo_added(before: ast.Module, last: ast.Expr, after: ast.Module | None) -> bool:
    """True when ``after`` is ``before`` with its last expression bound to a name, and the echo behind it."""
    if after is None or len(after.body) != len(before.body) + 1:
        return False
    same = [ast.dump(node) for node in before.body[:-1]] == [ast.dump(node) for node in after.body[:-2]]
    bound = after.body[-2]
    return same and isinstance(bound, ast.Assign) and ast.dump(bound.value) == ast.dump(last.value)
