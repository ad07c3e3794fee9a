"""What a ground truth looks like: a plain integer, a suspicious one, something else, or nothing usable."""

import re
from enum import Enum

_INTEGER = re.compile(r"([+-]?)0*([0-9]+)")
_NOT_A_VALUE = frozenset({"", "nan", "inf", "-inf", "none", "null", "n/a", "na"})
_FLOAT_NOTATION = re.compile(r"[+-]?[0-9.]+[eE][+-]?[0-9]+")
_EXACT_IN_FLOAT = 2**53  # every integer up to here survives a trip through a 64-bit float
_DIGITS_OF_FLOAT = 309  # a longer integer overflows a 64-bit float, so it cannot have been one


class AnswerKind(Enum):
    """Kinds of ground truths; the values are the words of the report."""

    INTEGER = "plain integer"
    BIG = "ground truth beyond 2^53"
    ROUNDED = "ground truth beyond 2^53 that a 64-bit float holds exactly: probably rounded"
    OTHER = "ground truth is not a plain integer"
    UNUSABLE = "no usable ground truth"


def canonical_answer(text: str) -> str:
    """The text without outer space; an integer also without plus sign and leading zeros ('033' -> '33')."""
    text = text.strip()
    integer = _INTEGER.fullmatch(text)
    if integer is None:
        return text
    sign, digits = integer.groups()
    return f"-{digits}" if sign == "-" and digits != "0" else digits


def answer_kind(canonical: str) -> AnswerKind:
    """Kind of an answer that went through `canonical_answer`."""
    if canonical.casefold() in _NOT_A_VALUE or _FLOAT_NOTATION.fullmatch(canonical):
        return AnswerKind.UNUSABLE
    if _INTEGER.fullmatch(canonical) is None:
        return AnswerKind.OTHER
    if len(canonical) > _DIGITS_OF_FLOAT:
        return AnswerKind.BIG
    value = int(canonical)
    if abs(value) <= _EXACT_IN_FLOAT:
        return AnswerKind.INTEGER
    return AnswerKind.ROUNDED if _survives_float(value) else AnswerKind.BIG


def _survives_float(value: int) -> bool:
    try:
        return int(float(value)) == value
    except OverflowError:
        return False
