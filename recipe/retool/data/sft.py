r"""ReTool-SFT rows -> the multi-turn messages that verl's ``MultiTurnSFTDataset`` trains on.

verl renders each message alone through the chat template and trains on all text of the assistant
messages (and on nothing else), so each tool output must be a message of its own:

``hermes``
    ``assistant`` (text + one ``tool_calls`` entry), ``tool`` (output), ..., ``assistant`` (last words).
``tags``
    ``assistant`` (text + ``<code>...</code>``), ``tool`` (output), ...; the environment ``retool`` puts
    ``<interpreter>`` tags around the outputs.

Whitespace at the outer ends of an assistant text is not kept: the template puts its own newline there,
and a leading one could fuse with it into a single token, which would shift verl's loss mask.
"""

import copy
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from recipe.retool.data.io import RowReader, SourceRow, require_text
from recipe.retool.data.output import parquet_sink
from recipe.retool.data.prompts import with_instruction
from recipe.retool.data.report import Note, PrepReport
from recipe.retool.data.traces import CodeBlock, Trace, TraceFormatError, read_trace
from recipe.retool.errors import DataError
from recipe.retool.tools.result import recorded_result_text
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA, TOOL_NAME

Message = dict[str, Any]

HUB_NAME = "JoeYing/ReTool-SFT"
_QUESTION_MARK = "*user question:*"
_REMINDER = "Remember to place the final answer in the last part using the format:"
_REMINDER_FORM = re.compile(r"\s*<answer>[^<]*</answer>")
_WRAPPER_REST = re.compile(r"</?(?:answer|code|interpreter)>|\\boxed\{\{'")


class SftFormat(str, Enum):
    """How tool calls are written; see the module's text."""

    HERMES = "hermes"
    TAGS = "tags"


@dataclass(frozen=True)
class SftRow:
    """One converted row.

    Attributes:
        row: Number of the source row, from 0.
        question: The bare question.
        trace: The assistant's side.
    """

    row: int
    question: str
    trace: Trace


def bare_question(text: str) -> str:
    """The question inside a ReTool-SFT user text, without the instructions around it.

    Raises:
        TraceFormatError: There is no question mark line, no question, or a rest of the instructions.
    """
    start = text.find(_QUESTION_MARK)
    if start < 0:
        raise TraceFormatError(0, f"the user text holds no {_QUESTION_MARK}")
    start += len(_QUESTION_MARK)
    question = text[start:].strip()
    head, reminder, form = question.rpartition(_REMINDER)
    if reminder and _REMINDER_FORM.fullmatch(form):
        question = head.rstrip()
    rest = _WRAPPER_REST.search(question)
    if rest is not None:
        raise TraceFormatError(
            start, f"the question holds {rest[0]}, a part of the source's own instructions"
        )
    if not question:
        raise TraceFormatError(start, "the question is empty")
    return question


def read_sft_row(source: SourceRow) -> SftRow:
    """Read a raw row.

    Raises:
        TraceFormatError: The row's text does not fit; its number is set.
        DataError: The column ``messages`` is not a list of {role, content}.
    """
    user, assistant = _user_and_assistant(source)
    try:
        return SftRow(source.index, bare_question(user), read_trace(assistant))
    except TraceFormatError as error:
        raise error.at_row(source.index) from error


def hermes_messages(row: SftRow) -> list[Message]:
    """Messages with ``tool_calls``; arguments are a dict, because templates apply ``tojson`` to them."""
    messages: list[Message] = [{"role": "user", "content": with_instruction(row.question)}]
    for block in row.trace.blocks:
        call = {"type": "function", "function": {"name": TOOL_NAME, "arguments": {"code": block.code}}}
        messages.append({"role": "assistant", "content": block.text, "tool_calls": [call]})
        messages.append({"role": "tool", "content": recorded_result_text(block.recorded)})
    words = [row.trace.text, row.trace.answer or ""]
    messages.append({"role": "assistant", "content": "\n\n".join(text for text in words if text)})
    return messages


def tags_messages(row: SftRow) -> list[Message]:
    """Messages with the paper's tags around the code; its environment puts those around the outputs."""
    messages: list[Message] = [{"role": "user", "content": with_instruction(row.question)}]
    for block in row.trace.blocks:
        messages.append({"role": "assistant", "content": _tagged_code(block)})
        messages.append({"role": "tool", "content": recorded_result_text(block.recorded)})
    answer = row.trace.answer
    words = [row.trace.text, "" if answer is None else f"<answer>\n{answer}\n</answer>"]
    messages.append({"role": "assistant", "content": "\n\n".join(text for text in words if text)})
    return messages


def sft_schema(form: SftFormat) -> pa.Schema:
    """Columns of the output: ``messages``, ``row`` and, for hermes, ``tools``."""
    fields = [pa.field("role", pa.string()), pa.field("content", pa.string())]
    if form is SftFormat.TAGS:
        return pa.schema([("messages", pa.list_(pa.struct(fields))), ("row", pa.int64())])
    function = pa.struct([("name", pa.string()), ("arguments", pa.struct([("code", pa.string())]))])
    call = pa.struct([("type", pa.string()), ("function", function)])
    messages = pa.list_(pa.struct([*fields, pa.field("tool_calls", pa.list_(call))]))
    tools = pa.array([[CODE_INTERPRETER_SCHEMA]]).type
    return pa.schema([("messages", messages), ("tools", tools), ("row", pa.int64())])


def write_sft(location: str, output: Path, form: SftFormat, limit: int | None = None) -> PrepReport:
    """Convert a raw set and write it; rows that do not fit are left out and listed.

    Args:
        location: File, folder or hub name of rows in the raw ReTool-SFT format.
        output: Parquet file to write, in one piece.
        form: Format of the tool calls.
        limit: Rows to write at most.

    Raises:
        DataError: The input cannot be read, the output cannot be written, or no row fits.
    """
    convert = _CONVERTERS[form]
    reader = RowReader(location, ("messages",))
    refused: list[Note] = []
    with parquet_sink(output, sft_schema(form)) as sink:
        for row in islice(good_rows(reader, refused), limit):
            written = {"messages": convert(row), "row": row.row}
            if form is SftFormat.HERMES:
                written["tools"] = [copy.deepcopy(CODE_INTERPRETER_SCHEMA)]
            sink.add(written)
        if sink.rows == 0:
            raise DataError(f"{location}: none of {reader.rows_read} rows fits; first: {_first(refused)}")
    return PrepReport(
        title=f"SFT data ({form.value})",
        inputs=(location,),
        output=str(output),
        rows_read=sink.rows + len(refused),
        rows_written=sink.rows,
        dropped={"refused": len(refused)} if refused else {},
        drops=tuple(refused),
    )


def good_rows(reader: RowReader, refused: list[Note]) -> Iterator[SftRow]:
    """The rows that fit; the others are appended to ``refused``."""
    for source in reader:
        try:
            yield read_sft_row(source)
        except TraceFormatError as error:
            refused.append(Note(source.where, f"offset {error.offset}: {error.reason}"))


def _user_and_assistant(source: SourceRow) -> tuple[str, str]:
    messages = source.data["messages"]
    if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
        raise DataError(f"{source.where}: messages must be a list of objects with role and content")
    roles = [message.get("role") for message in messages]
    if roles != ["user", "assistant"]:
        reason = (
            f"messages have the roles {roles}, expected one user and one assistant (the raw ReTool-SFT rows)"
        )
        raise TraceFormatError(0, reason, source.index)
    user, assistant = (require_text(m.get("content"), source.where, "messages.content") for m in messages)
    return user, assistant


def _tagged_code(block: CodeBlock) -> str:
    code = f"<code>\n```python\n{block.code}\n```\n</code>"
    return f"{block.text}\n\n{code}" if block.text else code


def _first(refused: list[Note]) -> str:
    return f"{refused[0].where}: {refused[0].reason}" if refused else "nothing"


_CONVERTERS: dict[SftFormat, Callable[[SftRow], list[Message]]] = {
    SftFormat.HERMES: hermes_messages,
    SftFormat.TAGS: tags_messages,
}
