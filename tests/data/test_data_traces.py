import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.data.traces import (
    Segment,
    SegmentKind,
    TraceFormatError,
    parse_segments,
    read_trace,
    unfence,
)

BOX = "<answer>\n\\boxed{3}\n</answer>"
RUN = "<code>\n```python\nprint(3)\n```\n</code>\n<interpreter>\n3\n</interpreter>\n"

TAGS = [f"<{slash}{name}>" for name in ("code", "interpreter", "answer") for slash in ("", "/")]
PIECES = st.sampled_from(
    [*TAGS, "```python\n", "\n```\n", "\n", " ", "x = 1", "\\boxed{3}", "<", "</", "code>", "é"]
)
TEXTS = st.lists(PIECES, max_size=20).map("".join)


def code_segment(body: str) -> Segment:
    return Segment(SegmentKind.CODE, f"<code>{body}</code>", 7)


@given(TEXTS)
def test_segments_joined_are_the_text_or_the_text_is_refused(text: str) -> None:
    try:
        segments = parse_segments(text)
    except TraceFormatError:
        return
    assert "".join(segment.source for segment in segments) == text


@given(TEXTS)
def test_segments_know_their_offset_and_keep_no_tag_in_their_body(text: str) -> None:
    try:
        segments = parse_segments(text)
    except TraceFormatError:
        return
    for segment in segments:
        assert text.startswith(segment.source, segment.offset)
        assert not any(tag in segment.body for tag in TAGS)


def refusal(text: str) -> TraceFormatError | None:
    try:
        read_trace(text)
    except TraceFormatError as error:
        return error
    return None


@given(TEXTS)
def test_a_refusal_points_into_the_text(text: str) -> None:
    error = refusal(text)
    assert error is None or (0 <= error.offset <= len(text) and error.reason)


@given(st.lists(st.text(alphabet="ab \n(=", min_size=1).filter(str.strip), min_size=1, max_size=5))
def test_well_formed_blocks_come_back_in_order(programs: list[str]) -> None:
    programs = [program.strip("\n") for program in programs]
    blocks = "".join(
        f"say {i} <code>\n```python\n{p}\n```\n</code>\n<interpreter>\n{i}\n</interpreter>\n"
        for i, p in enumerate(programs)
    )
    trace = read_trace(blocks + BOX)
    assert [block.code for block in trace.blocks] == programs
    assert [block.text for block in trace.blocks] == [f"say {i}" for i in range(len(programs))]
    assert [block.recorded.strip() for block in trace.blocks] == [str(i) for i in range(len(programs))]


@pytest.mark.parametrize("ending", ["", "\n", "\n\n  \t\n"])
def test_whitespace_after_the_answer_is_no_fault(ending: str) -> None:
    assert read_trace(RUN + BOX + ending).answer == "\\boxed{3}"


def test_two_blocks_without_text_between_them() -> None:
    assert [block.text for block in read_trace(RUN + "\n" + RUN + BOX).blocks] == ["", ""]


def test_a_trace_without_code_is_a_trace() -> None:
    trace = read_trace("I know it.\n\n" + BOX)
    assert (trace.blocks, trace.text, trace.answer) == ((), "I know it.", "\\boxed{3}")


def test_a_box_in_the_last_words_serves_as_the_answer() -> None:
    trace = read_trace(RUN + "So \\boxed{3}.")
    assert (trace.text, trace.answer) == ("So \\boxed{3}.", None)


@pytest.mark.parametrize(
    ("text", "offset", "reason"),
    [
        ("a </code> b", 2, "without an open <code>"),
        ("ab<code>x", 2, "<code> is never closed"),
        ("<code>a<code>b</code></code>", 7, "<code> inside <code>"),
        ("<code>a</interpreter></code>", 7, "</interpreter> inside <code>"),
        ("<code>a</code>" + BOX, 0, "without an <interpreter>"),
        ("<code>a</code>", 0, "without an <interpreter>"),
        ("<code>a</code><code>b</code><interpreter>1</interpreter>" + BOX, 0, "without an <interpreter>"),
        (
            "<code>a</code> hm <interpreter>1</interpreter>" + BOX,
            14,
            "text between </code> and <interpreter>",
        ),
        ("<interpreter>1</interpreter>" + BOX, 0, "without a <code>"),
        (BOX + " bye", 28, "text after </answer>"),
        (BOX + BOX, 28, "answer after </answer>"),
        ("no answer", 9, "does not end in an answer"),
        ("<answer>3</answer>", 0, "does not end in an answer"),
        ("", 0, "does not end in an answer"),
        ("<code>\n</code><interpreter>1</interpreter>" + BOX, 0, "empty"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(text: str, offset: int, reason: str) -> None:
    with pytest.raises(TraceFormatError) as caught:
        read_trace(text)
    assert caught.value.offset == offset
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("body", "program"),
    [
        ("\n```python\nx = 1\n```\n", "x = 1"),
        ("```py\nx = 1```", "x = 1"),
        ("\n```\nx = 1\n```", "x = 1"),
        ("\n```python \r\nx = 1\r\n```\r\n", "x = 1"),
        ("\nx = 1\n", "x = 1"),
        ("\n    x = 1\n", "    x = 1"),
        ("\n```python\nif a:\n    b\n\n```\n", "if a:\n    b\n"),
        ("\n```python\nprint('``` in a text')\n```\n", "print('``` in a text')"),
    ],
)
def test_fences_are_taken_off(body: str, program: str) -> None:
    assert unfence(code_segment(body)) == program


@pytest.mark.parametrize(
    "body",
    [
        "\n```python\nx = 1\n",
        "x = 1\n```",
        "a ```\n```",
        "```python\nx\n```\n```python\ny\n```",
        "```cpp\nx\n```",
        "```python\n\n```",
    ],
)
def test_odd_fences_are_refused(body: str) -> None:
    with pytest.raises(TraceFormatError) as caught:
        unfence(code_segment(body))
    assert caught.value.offset == 7


def test_the_message_names_row_offset_and_reason() -> None:
    assert str(TraceFormatError(5, "odd").at_row(12)) == "row 12, offset 5: odd"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text",
    [
        "\n" * 300_000,
        "<code>" * 50_000,
        "<code>\n```py" + "\n \t" * 100_000 + "</code>",
        "<code>" + " \n" * 100_000 + "x</code>",
    ],
    ids=["newlines", "tags", "fence", "indent"],
)
def test_long_odd_texts_are_refused_at_once(text: str) -> None:
    assert refusal(text) is not None
