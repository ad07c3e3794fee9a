r"""Tagged ReTool traces: the text of one assistant turn with code, outputs and an answer in it.

The public cold-start set (``JoeYing/ReTool-SFT``) holds the whole interaction in one string::

    text <code>\n```python\n...\n```\n</code>\n<interpreter>\n...\n</interpreter>
    text <answer>\n\boxed{3}\n</answer>

`parse_segments` cuts such a text at its tags and loses nothing: the segments joined give the text back.
`read_trace` then checks the order of the segments. What does not fit is refused with an offset and a
reason, never guessed at.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from recipe.retool.errors import DataError

_TAG = re.compile(r"<(/?)(code|interpreter|answer)>")
_FENCE = "```"
_FENCE_LINE = re.compile(r"^[ \t]*```", re.MULTILINE)
_PYTHON_FENCES = frozenset({"", "python", "python3", "py"})


class TraceFormatError(DataError):
    """One row that cannot be read as a trace.

    Attributes:
        offset: Position in the row's text, in characters from 0.
        reason: What is wrong there.
        row: Number of the row in its input from 0; None until the reader of the file has set it.
    """

    def __init__(self, offset: int, reason: str, row: int | None = None) -> None:
        self.offset = offset
        self.reason = reason
        self.row = row
        place = f"offset {offset}" if row is None else f"row {row}, offset {offset}"
        super().__init__(f"{place}: {reason}")

    def at_row(self, row: int) -> "TraceFormatError":
        """The same error with the number of the row."""
        return TraceFormatError(self.offset, self.reason, row)


class SegmentKind(str, Enum):
    """Kind of a piece of a trace; the values are the tag names."""

    TEXT = "text"
    CODE = "code"
    INTERPRETER = "interpreter"
    ANSWER = "answer"


@dataclass(frozen=True)
class Segment:
    """A piece of a trace.

    Attributes:
        kind: What it is.
        source: Its text exactly as it stands in the trace, tags included.
        offset: Where it begins in the trace, in characters.
    """

    kind: SegmentKind
    source: str
    offset: int

    @property
    def body(self) -> str:
        """The text between the tags; the whole text of a TEXT segment."""
        if self.kind is SegmentKind.TEXT:
            return self.source
        tag = len(self.kind.value) + 2
        return self.source[tag : -tag - 1]


@dataclass(frozen=True)
class CodeBlock:
    """One run of code in a trace.

    Attributes:
        text: What the assistant wrote before the code, outer whitespace removed; may be empty.
        code: The program, without its fence.
        recorded: The recorded output exactly as it stands between the tags.
    """

    text: str
    code: str
    recorded: str


@dataclass(frozen=True)
class Trace:
    """A checked trace: runs of code, then the last words.

    Attributes:
        blocks: The runs of code, in order; may be empty.
        text: Text after the last run, outer whitespace removed; may be empty.
        answer: Text between the answer tags, outer whitespace removed; None when there are none, and
            then ``text`` holds the box.
    """

    blocks: tuple[CodeBlock, ...]
    text: str
    answer: str | None


def parse_segments(text: str) -> list[Segment]:
    """Cut ``text`` at its tags; ``"".join(s.source for s in result) == text``.

    Raises:
        TraceFormatError: A tag is closed without being open, opened inside another, or never closed.
    """
    segments: list[Segment] = []
    opened: re.Match[str] | None = None
    done = 0
    for tag in _TAG.finditer(text):
        closing = bool(tag[1])
        if opened is None:
            if closing:
                raise TraceFormatError(tag.start(), f"{tag[0]} without an open <{tag[2]}>")
            if tag.start() > done:
                segments.append(Segment(SegmentKind.TEXT, text[done : tag.start()], done))
            opened, done = tag, tag.start()
        elif closing and tag[2] == opened[2]:
            segments.append(Segment(SegmentKind(tag[2]), text[done : tag.end()], done))
            opened, done = None, tag.end()
        else:
            raise TraceFormatError(tag.start(), f"{tag[0]} inside <{opened[2]}>")
    if opened is not None:
        raise TraceFormatError(opened.start(), f"{opened[0]} is never closed")
    if done < len(text):
        segments.append(Segment(SegmentKind.TEXT, text[done:], done))
    return segments


def unfence(segment: Segment) -> str:
    """Program of a CODE segment, without the Markdown fence; code without any fence is taken as it is.

    Raises:
        TraceFormatError: Half a fence, several fences, text beside the fence, another language, or no code.
    """
    body = segment.body.strip()
    if _FENCE_LINE.search(body) is None:
        code = segment.body.strip("\r\n")
    else:
        opening, _, rest = body.partition("\n")
        if not opening.startswith(_FENCE) or not rest.endswith(_FENCE):
            raise TraceFormatError(segment.offset, "the code fence is not closed, or text stands beside it")
        language = opening.removeprefix(_FENCE).strip()
        if language.lower() not in _PYTHON_FENCES:
            raise TraceFormatError(segment.offset, f"a fence of '{language}' where python was expected")
        code = rest.removesuffix(_FENCE).rstrip(" \t").removesuffix("\n").removesuffix("\r")
        if _FENCE_LINE.search(code) is not None:
            raise TraceFormatError(segment.offset, "more than one fence in a code block")
    if not code.strip():
        raise TraceFormatError(segment.offset, "the code block is empty")
    return code


def read_trace(text: str) -> Trace:
    r"""Read the text of an assistant turn as a trace.

    Raises:
        TraceFormatError: The tags do not fit (see `parse_segments`, `unfence`), a code block has no
            output, an output has no code, visible text stands between a code block and its output or
            after the answer, or the last words hold no ``\boxed{``.
    """
    segments = [s for s in parse_segments(text) if s.kind is not SegmentKind.TEXT or s.source.strip()]
    stream = iter(segments)
    blocks: list[CodeBlock] = []
    words: Segment | None = None
    answer: Segment | None = None
    for segment in stream:
        if answer is not None:
            raise TraceFormatError(segment.offset, f"{segment.kind.value} after </answer>")
        if segment.kind is SegmentKind.TEXT:
            words = segment
        elif segment.kind is SegmentKind.ANSWER:
            answer = segment
        elif segment.kind is SegmentKind.INTERPRETER:
            raise TraceFormatError(segment.offset, "<interpreter> without a <code> before it")
        else:
            recorded = _output_of(segment, stream)
            blocks.append(CodeBlock(_stripped(words), unfence(segment), recorded.body))
            words = None
    trace = Trace(tuple(blocks), _stripped(words), None if answer is None else answer.body.strip())
    if "\\boxed{" not in (trace.text if trace.answer is None else trace.answer):
        where = len(text) if answer is None else answer.offset
        raise TraceFormatError(where, "the trace does not end in an answer with \\boxed{...}")
    return trace


def _output_of(code: Segment, stream: Iterator[Segment]) -> Segment:
    following = next(stream, None)
    if following is None or following.kind in (SegmentKind.CODE, SegmentKind.ANSWER):
        raise TraceFormatError(code.offset, "<code> without an <interpreter> after it")
    if following.kind is SegmentKind.TEXT:
        raise TraceFormatError(following.offset, "text between </code> and <interpreter>")
    return following


def _stripped(segment: Segment | None) -> str:
    return "" if segment is None else segment.source.strip()
