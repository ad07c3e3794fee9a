"""A response as boxes, and what of it is trained on."""

from hypothesis import given
from hypothesis import strategies as st
from report_runs import ANSWER, CALL

from recipe.retool.report.dialogue_parts import parts, response_segments

INTERPRETER = "\n<interpreter>\n42\n</interpreter>\n"
CODE = "<code>\n```python\nprint(6*7)\n```\n</code>"


@given(st.text(), st.sampled_from(["hermes", "retool", "text", ""]))
def test_nothing_of_a_text_is_lost(text: str, environment: str) -> None:
    segments, inferred = response_segments({"output": text}, environment)
    assert inferred
    assert "".join(segment[2] for segment in segments) == text
    assert "".join(part["t"] for part in parts(segments)) == text


def test_exact_segments_are_taken_as_they_are() -> None:
    given_segments = [[1, 30, CALL], [0, 7, ANSWER], [1, 5, "done"]]
    segments, inferred = response_segments({"output": "other", "segments": given_segments}, "hermes")
    assert not inferred
    assert segments == [(1, 30, CALL), (0, 7, ANSWER), (1, 5, "done")]


def test_tool_turns_of_hermes_are_told_apart() -> None:
    segments, _ = response_segments({"output": f"Let me see. {CALL}{ANSWER}so 42"}, "hermes")
    assert [mask for mask, _, _ in segments] == [1, 0, 1]
    found = parts(segments)
    assert [part["k"] for part in found] == ["text", "code", "tool", "text"]
    assert found[1]["c"] == "print(6*7)  # six"


def test_code_tags_are_told_apart() -> None:
    segments, _ = response_segments({"output": f"{CODE}{INTERPRETER}so 42"}, "retool")
    assert [mask for mask, _, _ in segments] == [1, 0, 1]
    assert parts(segments)[0]["c"] == "print(6*7)"


def test_a_tool_answer_that_is_cut_off_is_not_trained_on() -> None:
    segments, _ = response_segments({"output": f"{CALL}\nuser\n<tool_response>\n123"}, "hermes")
    assert [mask for mask, _, _ in segments] == [1, 0]


def test_a_call_that_cannot_be_read_is_shown_raw() -> None:
    found = parts([(1, 3, "<tool_call>{oops</tool_call>")])
    assert found == [{"k": "code", "t": "<tool_call>{oops</tool_call>", "a": "", "m": 1, "n": 3}]


def test_odd_segments_are_no_segments() -> None:
    segments, inferred = response_segments({"output": "x", "segments": ["ab", [1], None]}, "hermes")
    assert inferred
    assert segments == [(1, None, "x")]
