import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.data.answers import AnswerKind, answer_kind, canonical_answer


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("34", "34"),
        (" 34\n", "34"),
        ("033", "33"),
        ("000", "0"),
        ("+5", "5"),
        ("-07", "-7"),
        ("-0", "0"),
        ("1,000", "1,000"),
        ("\\frac{1}{2}", "\\frac{1}{2}"),
        ("３", "３"),
    ],
)
def test_canonical_answers(text: str, canonical: str) -> None:
    assert canonical_answer(text) == canonical


@given(st.integers())
def test_integers_in_any_spelling_are_canonical(value: int) -> None:
    assert canonical_answer(str(value)) == str(value)
    assert canonical_answer(f" {'-' if value < 0 else '+'}00{abs(value)}") == str(value)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("0", AnswerKind.INTEGER),
        ("-12", AnswerKind.INTEGER),
        (str(2**53), AnswerKind.INTEGER),
        (str(2**53 + 1), AnswerKind.BIG),
        (str(2**53 + 2), AnswerKind.ROUNDED),
        (str(-(2**60)), AnswerKind.ROUNDED),
        ("12345678901234567891", AnswerKind.BIG),
        ("9" * 308, AnswerKind.BIG),
        ("9" * 309, AnswerKind.BIG),
        ("9" * 10_000, AnswerKind.BIG),
        ("3/4", AnswerKind.OTHER),
        ("1.5", AnswerKind.OTHER),
        ("3.0", AnswerKind.OTHER),
        ("x+1", AnswerKind.OTHER),
        ("1,000", AnswerKind.OTHER),
        ("", AnswerKind.UNUSABLE),
        ("nan", AnswerKind.UNUSABLE),
        ("None", AnswerKind.UNUSABLE),
        ("1.2e+20", AnswerKind.UNUSABLE),
    ],
)
def test_kinds_of_answers(answer: str, kind: AnswerKind) -> None:
    assert answer_kind(answer) is kind
