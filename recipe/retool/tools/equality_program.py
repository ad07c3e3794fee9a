"""The program behind ``check_equal``, run in the sandbox as it stands: its text is sent there.

Standard input is JSON with ``left`` and ``right``; standard output is the verdict and the values. An
expression that cannot be read ends it with exit code 1 and the reason on standard error.
"""

import json
import sys
from typing import Any

EQUAL, NOT_EQUAL, CANNOT_TELL = "equal", "not equal", "cannot tell"
DIGITS = 15
_PRECISION = 60
_POINTS = ((2, 3, 5, 7), (11, 13, 17, 19), (-3, 5, -7, 2))  # values of the first symbols, and round again


def main() -> int:
    """Read, compare, tell."""
    data = json.load(sys.stdin)
    sides = []
    for name in ("left", "right"):
        try:
            sides.append(read(data[name]))
        except Exception as error:
            cause = getattr(error, "base_exc", None) or error  # sympy's own error wraps Python's
            reason = f"{type(cause).__name__}: {cause}".strip().split("\n")[0]
            sys.stderr.write(f"the argument {name!r} cannot be read: {reason}\n")
            return 1
    verdict, reason = compare(*sides)
    lines = [f"{verdict}: {reason}" if reason else verdict]
    lines += [f"{name} = {value_of(side)}" for name, side in zip(("left", "right"), sides, strict=True)]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def read(text: str) -> Any:
    """A sympy object, or a list, tuple, set or truth value of Python's. Decimals are exact: 0.1 is 1/10."""
    import sympy

    return sympy.sympify(text, rational=True)


def compare(left: Any, right: Any) -> tuple[str, str]:
    """The verdict, and why where it needs a word."""
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return _compare_lists(left, right)
    if isinstance(left, set) and isinstance(right, set):
        return _compare_sets(list(left), list(right))
    if left == right:
        return EQUAL, ""
    try:
        difference = left - right
    except TypeError:
        return CANNOT_TELL, "their difference cannot be taken"
    if not hasattr(difference, "free_symbols"):
        return CANNOT_TELL, "their difference is no expression"
    return _compare_to_zero(difference)


def _compare_lists(left: Any, right: Any) -> tuple[str, str]:
    if len(left) != len(right):
        return NOT_EQUAL, f"{len(left)} and {len(right)} elements"
    verdict = EQUAL, ""
    for number, pair in enumerate(zip(left, right, strict=True), 1):
        one, reason = compare(*pair)
        if one != EQUAL:
            verdict = one, f"element {number}" + (f", {reason}" if reason else "")
        if one == NOT_EQUAL:
            break
    return verdict


def _compare_sets(left: list[Any], right: list[Any]) -> tuple[str, str]:
    if len(left) != len(right):
        return NOT_EQUAL, f"{len(left)} and {len(right)} elements"
    sure = True
    for one in left:
        verdicts = [compare(one, other)[0] for other in right]
        if EQUAL in verdicts:
            del right[verdicts.index(EQUAL)]
        elif CANNOT_TELL in verdicts:
            sure = False
        else:
            return NOT_EQUAL, f"{one} is in one of them only"
    return (EQUAL, "") if sure else (CANNOT_TELL, "not all elements can be compared")


def _compare_to_zero(difference: Any) -> tuple[str, str]:
    """Numbers first: they are fast, and tell what differs; then algebra, which alone proves equality."""
    import sympy

    symbols = sorted(difference.free_symbols, key=str)
    for point in _POINTS if symbols else ((),):
        values = {symbol: point[i % len(point)] for i, symbol in enumerate(symbols)}
        value = difference.subs(values).evalf(_PRECISION)
        if value.is_number and value.is_finite and abs(value) > sympy.Rational(1, 10**30):
            at = ", ".join(f"{symbol} = {number}" for symbol, number in values.items())
            return NOT_EQUAL, f"they differ by {value.evalf(DIGITS)}" + (f" at {at}" if at else "")
    try:
        zero = sympy.simplify(difference) == 0 or difference.equals(0)
    except Exception:  # sympy gives up in many ways
        zero = None
    if zero:
        return EQUAL, ""
    if zero is False:
        return NOT_EQUAL, ""
    return CANNOT_TELL, "their numeric values agree, but no proof was found"


def value_of(side: Any) -> str:
    """The expression, and its value in decimals where that says more."""
    if not getattr(side, "is_number", False) or side.is_Integer or not side.is_finite:
        return str(side)
    return f"{side} = {side.evalf(DIGITS)}"


if __name__ == "__main__":
    sys.exit(main())
