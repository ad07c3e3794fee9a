r"""Extraction and spelling of answers."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.reward.answer import MAX_ANSWER, canonical_integer, clean, extract, without_blocks


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{34}", "34"),
        (r"\boxed{'34'}", "34"),
        (r"\boxed{\'34\'}", "34"),
        (r"\boxed{{'34'}}", "34"),
        (r"\boxed{ 34 }", "34"),
        (r"\boxed{$34$}", "34"),
        (r"\boxed{\$34}", "34"),
        (r"\boxed{\text{34}}", "34"),
        (r"\boxed{34.}", "34"),
        (r"\fbox{34}", "34"),
        (r"\boxed 34", "34"),
        (r"\boxed {34}", "34"),
        (r"\\boxed{34}", "34"),
        (r"\boxed{\boxed{34}}", "34"),
        ("\\boxed{34}\n</answer><|im_end|>", "34"),
        (r"\boxed{34} because" + " it is so" * 100, "34"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\dfrac{1}{\sqrt{2}}}", r"\dfrac{1}{\sqrt{2}}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{[0,1\}}", r"[0,1\}"),
        ("\\boxed{\n\\begin{pmatrix} 0 \\\\ 1 \\end{pmatrix}\n}", r"\begin{pmatrix} 0 \\ 1 \end{pmatrix}"),
        (r"\boxed{−3}", "-3"),
        (r"\boxed{３４}", "34"),
    ],
)
def test_one_box(text: str, answer: str) -> None:
    found = extract(text)
    assert (found.text, found.boxed) == (answer, True)


def test_last_box_wins() -> None:
    assert extract(r"\boxed{33} so \boxed{34}").text == "34"


def test_unclosed_last_box_is_no_answer() -> None:
    assert extract(r"\boxed{33} so \boxed{34").text == ""


@pytest.mark.parametrize("tail", [r" in \boxed{}", r" as \boxed{ } asks", r" in the \boxed format"])
def test_mention_of_the_format_hides_no_answer(tail: str) -> None:
    assert extract(r"\boxed{34}" + tail).text == "34"


@pytest.mark.parametrize(
    "text",
    [r"\boxed{2}, \boxed{3}", r"$\boxed{2}$ and $\boxed{3}$", r"\boxed{2} \quad \text{and} \quad \boxed{3}"],
)
def test_boxes_joined_by_and_are_one_list(text: str) -> None:
    assert extract(text).text == "2, 3"


def test_same_box_twice_is_one_answer() -> None:
    assert extract(r"\boxed{34}, \boxed{34}").text == "34"


@pytest.mark.parametrize(
    "text", ["Answer: 34", "Answer: $34$", "**Answer:** 34", "### Final answer: **34**."]
)
def test_answer_line_without_a_box(text: str) -> None:
    found = extract("Because.\n" + text + "\nDone.")
    assert (found.text, found.boxed) == ("34", False)


@pytest.mark.parametrize(
    "block",
    [
        "```python\nprint('\\boxed{34}')\n```",
        "<code>\nprint('\\boxed{34}')\n</code>",
        '<tool_call>\n{"code": "print(\'\\\\boxed{34}\')"}\n</tool_call>',
        "<interpreter>\\boxed{34}</interpreter>",
        "<tool_response>\\boxed{34}</tool_response>",
    ],
)
def test_box_in_a_block_is_no_answer(block: str) -> None:
    assert extract(f"First {block} then").text == ""


def test_answer_after_an_unclosed_block_counts() -> None:
    assert extract("I use <code> tags. ```python x ``` \\boxed{34}").text == "34"


@pytest.mark.parametrize(
    ("text", "integer"),
    [
        ("34", "34"), ("034", "34"), ("+34", "34"), ("-3", "-3"), ("- 3", "-3"), ("0", "0"), ("-0", "0"),
        ("000", "0"), ("34.0", "34"), ("34.", "34"), ("1,234", "1234"), ("1{,}234", "1234"),
        (r"10{,}000", "10000"), (r"1\,234", "1234"), ("1 234", "1234"), (r"1,\!234", "1234"),
        (r"34^\circ", "34"), ("34°", "34"), ("1,234,567.00", "1234567"), ("9" * 900, "9" * 900),
    ],
)  # fmt: skip
def test_integer_spellings(text: str, integer: str) -> None:
    assert canonical_integer(text) == integer


@pytest.mark.parametrize(
    "text",
    ["", "34.5", "1,23", "12,34", "32, 349", "1,2,3", "3 4", "34%", "x", "1/2", "--3", "3²", "٣", "1e3"],
)
def test_not_integers(text: str) -> None:
    assert canonical_integer(text) is None


@given(st.integers())
def test_every_integer_survives_its_spellings(value: int) -> None:
    spellings = (f"{value}", f"{value:,}", f"'{value}'", f" {value}.0 ", f"${value}$", f"\\text{{{value}}}")
    assert {canonical_integer(clean(text)) for text in spellings} == {str(value)}


@given(st.text(alphabet="\\{}$'\"` .,;12ab*", max_size=60))
def test_cleaning_is_stable(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(st.text(alphabet="\\boxed{}fAnswer: $`<code>/\n1", max_size=200))
def test_any_text_is_extracted_without_error(text: str) -> None:
    assert len(extract(text).text) <= MAX_ANSWER + 1


@pytest.mark.parametrize(
    "piece",
    ["\\boxed{", "\\boxed{}", "\\boxed{1},", "\\boxed ", "\\boxed" + " " * 50, "<code>", "```python",
     "{" * 9, "}", "<tool_call></code>", "\\fbox{{", "Answer:", "Answer: \n", "$", "\\text{", "1,",
     "\n\n", "answer *_*_"],
)  # fmt: skip
def test_hostile_text_takes_linear_time(piece: str) -> None:
    text = piece * (100_000 // len(piece))
    begin = time.perf_counter()
    extract(text)
    extract("\\boxed{" + text + "}")
    canonical_integer(clean(text))
    assert time.perf_counter() - begin < 2


@given(st.text(max_size=80))
def test_text_without_blocks_is_kept(text: str) -> None:
    kept = without_blocks(text)
    assert kept == text or "<" in text or "```" in text
