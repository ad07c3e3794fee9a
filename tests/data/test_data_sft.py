import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from data_rows import GOOD, code, output, raw_row

from recipe.retool.data.io import SourceRow
from recipe.retool.data.prompts import ANSWER_INSTRUCTION
from recipe.retool.data.sft import (
    SftFormat,
    bare_question,
    hermes_messages,
    read_sft_row,
    tags_messages,
    write_sft,
)
from recipe.retool.data.traces import TraceFormatError
from recipe.retool.errors import DataError
from recipe.retool.tools.result import recorded_result_text
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA


def source(assistant: str, question: str = "What is 1+2?") -> SourceRow:
    return SourceRow(4, "x row 4", raw_row(assistant, question))


def test_hermes_messages_of_one_block() -> None:
    call = {"type": "function", "function": {"name": "code_interpreter", "arguments": {"code": "print(1+2)"}}}
    assert hermes_messages(read_sft_row(source(GOOD))) == [
        {"role": "user", "content": f"What is 1+2?\n{ANSWER_INSTRUCTION}"},
        {"role": "assistant", "content": "Let me add.", "tool_calls": [call]},
        {"role": "tool", "content": recorded_result_text("\n3\n")},
        {"role": "assistant", "content": "So it is 3.\n\n\\boxed{3}"},
    ]


def test_tags_messages_of_one_block() -> None:
    assert tags_messages(read_sft_row(source(GOOD))) == [
        {"role": "user", "content": f"What is 1+2?\n{ANSWER_INSTRUCTION}"},
        {"role": "assistant", "content": f"Let me add.\n\n{code('print(1+2)')}"},
        {"role": "tool", "content": recorded_result_text("3")},
        {"role": "assistant", "content": "So it is 3.\n\n<answer>\n\\boxed{3}\n</answer>"},
    ]


def test_a_block_without_words_is_an_assistant_message_with_empty_text() -> None:
    row = read_sft_row(source(f"{code('1')}{output('1')}{code('2')}{output('2')}\\boxed{{2}}"))
    messages = hermes_messages(row)
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert [m["content"] for m in messages if m["role"] == "assistant"] == ["", "", "\\boxed{2}"]


def test_no_assistant_text_begins_or_ends_with_whitespace() -> None:
    row = read_sft_row(
        source(f"\n\n a \n{code('1')}\n{output('1')}\n\n b\n\n<answer>\n\\boxed{{2}}\n</answer>\n")
    )
    for message in (*hermes_messages(row), *tags_messages(row)):
        assert message["content"] == message["content"].strip()


def test_the_prompt_holds_one_answer_instruction() -> None:
    prompt = hermes_messages(read_sft_row(source(GOOD)))[0]["content"]
    assert prompt.count("\\boxed{") == 1
    assert "{{" not in prompt
    assert "<answer>" not in prompt


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("What is 1+2?", "*user question:*"),
        ("*user question:*\n\n", "empty"),
        (
            "*user question:*\nQ?\nUse <answer>\\boxed{{'x'}}</answer> please",
            "a part of the source's own instructions",
        ),
    ],
)
def test_user_texts_that_are_not_understood_are_refused(text: str, reason: str) -> None:
    with pytest.raises(TraceFormatError) as caught:
        bare_question(text)
    assert reason in caught.value.reason


def test_a_question_may_speak_of_answers_itself() -> None:
    question = "Give your answer as k + m.\n\n[i]Remember to place proofs.[/i]"
    assert read_sft_row(source(GOOD, question)).question == question


def test_a_refused_row_carries_its_number() -> None:
    with pytest.raises(TraceFormatError) as caught:
        read_sft_row(source("<code>x"))
    assert caught.value.row == 4


def test_other_roles_are_refused() -> None:
    row = {"messages": [{"role": "user", "content": "hi"}, {"role": "tool", "content": "x"}]}
    with pytest.raises(TraceFormatError, match="roles"):
        read_sft_row(SourceRow(0, "x row 0", row))


@pytest.mark.parametrize("messages", [3, "text", ["a", "b"], None])
def test_a_messages_column_of_another_type_names_the_row(messages: object) -> None:
    with pytest.raises(DataError, match="x row 9: messages must be"):
        read_sft_row(SourceRow(9, "x row 9", {"messages": messages}))


def test_content_of_another_type_names_the_row() -> None:
    row = raw_row(GOOD)
    row["messages"][1]["content"] = 7
    with pytest.raises(DataError, match=r"x row 9: messages\.content must be text, found int"):
        read_sft_row(SourceRow(9, "x row 9", row))


def test_bad_rows_are_left_out_and_listed(jsonl: Callable[..., str], tmp_path: Path) -> None:
    path = jsonl(raw_row("<code>x"), raw_row(GOOD), raw_row("no box"))
    report = write_sft(path, tmp_path / "out.parquet", SftFormat.HERMES)
    assert (report.rows_read, report.rows_written, report.dropped) == (3, 1, {"refused": 2})
    assert [(drop.where.split()[-1], drop.reason.split(":")[0]) for drop in report.drops] == [
        ("1", "offset 0"),
        ("3", "offset 6"),
    ]


def test_the_file_keeps_the_source_row_number(jsonl: Callable[..., str], tmp_path: Path) -> None:
    write_sft(jsonl(raw_row("no box"), raw_row(GOOD)), tmp_path / "out.parquet", SftFormat.TAGS)
    assert pq.read_table(tmp_path / "out.parquet")["row"].to_pylist() == [1]


def test_the_tool_schema_survives_parquet_with_its_order(jsonl: Callable[..., str], tmp_path: Path) -> None:
    write_sft(jsonl(raw_row(GOOD)), tmp_path / "out.parquet", SftFormat.HERMES)
    tools = pq.read_table(tmp_path / "out.parquet")["tools"].to_pylist()[0]
    assert json.dumps(tools) == json.dumps([CODE_INTERPRETER_SCHEMA])


def test_tags_files_have_no_tools(jsonl: Callable[..., str], tmp_path: Path) -> None:
    write_sft(jsonl(raw_row(GOOD)), tmp_path / "out.parquet", SftFormat.TAGS)
    assert pq.read_schema(tmp_path / "out.parquet").names == ["messages", "row"]


def test_limit_counts_written_rows(jsonl: Callable[..., str], tmp_path: Path) -> None:
    path = jsonl(raw_row("no box"), *[raw_row(GOOD)] * 3)
    report = write_sft(path, tmp_path / "out.parquet", SftFormat.TAGS, limit=2)
    assert (report.rows_read, report.rows_written) == (3, 2)


def test_no_good_row_is_an_error_and_leaves_the_old_file(jsonl: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "out.parquet").write_text("old")
    with pytest.raises(DataError, match=r"none of 1 rows fits; first: .*line 1"):
        write_sft(jsonl(raw_row("no box")), tmp_path / "out.parquet", SftFormat.HERMES)
    assert (tmp_path / "out.parquet").read_text() == "old"
