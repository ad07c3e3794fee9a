"""Calls in JSON between tags."""

import json

import pytest
from env_helpers import HERMES, TAGS, hermes_call, json_values, names, wild
from hypothesis import example, given
from hypothesis import strategies as st

from recipe.retool.env.calls import INCOMPLETE, MALFORMED
from recipe.retool.env.hermes import HermesEnv

ENV = HermesEnv()


@given(wild(*HERMES, *TAGS))
def test_any_text_is_read_and_its_calls_stay_in_order(text: str) -> None:
    starts = [call.start for call in ENV.extract_tool_calls(text)]
    assert starts == sorted(set(starts))
    assert all(text.startswith("<tool_call>", start) for start in starts)
    assert bool(starts) == ("<tool_call>" in text)


@given(
    st.lists(st.tuples(names, json_values.filter(lambda v: not isinstance(v, str))), max_size=4),
    st.booleans(),
)
@example([("code_interpreter", {"code": "print('</tool_call>', '<tool_call>')"})], False)
def test_well_formed_calls_come_back_as_written(written: list[tuple[str, object]], ascii_only: bool) -> None:
    text = "Hm.\n" + "\n".join(hermes_call(name, value, ascii_only) for name, value in written) + "<|im_end|>"
    calls = ENV.extract_tool_calls(text)
    assert [(call.name, call.arguments, call.problem) for call in calls] == [
        (name, value, "") for name, value in written
    ]


@given(json_values.filter(lambda value: not isinstance(value, str)))
def test_arguments_encoded_twice_are_decoded(value: object) -> None:
    (call,) = ENV.extract_tool_calls(hermes_call("echo", json.dumps(value)))
    assert call.arguments == value


def test_raw_newlines_in_the_code_are_read() -> None:
    (call,) = ENV.extract_tool_calls('<tool_call>{"name": "e", "arguments": {"code": "a\n\tb"}}</tool_call>')
    assert call.arguments == {"code": "a\n\tb"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("{'name': 1}", "JSON"),
        ("[1]", "object"),
        ('{"arguments": {}}', "'name'"),
        ('{"name": 3, "arguments": {}}', "'name'"),
        ('{"name": " ", "arguments": {}}', "'name'"),
        ('{"name": "echo"}', "'arguments'"),
        ("[" * 100_000, "read"),
        ("9" * 5000, "read"),
        ("", "JSON"),
    ],
)
def test_a_call_that_cannot_be_read_says_why(body: str, told: str) -> None:
    (call,) = ENV.extract_tool_calls(f"<tool_call>{body}</tool_call>")
    assert call.problem == MALFORMED
    assert told in call.message
    assert '"arguments"' in call.message  # and shows how it is written


@given(wild("print", "{", "}").filter(lambda text: "<tool_call>" not in text and "</tool_call>" not in text))
def test_a_call_that_is_not_closed_is_incomplete(rest: str) -> None:
    first, last = ENV.extract_tool_calls(hermes_call("echo", {}) + "<tool_call>" + rest)
    assert (first.problem, last.problem) == ("", INCOMPLETE)
    assert "not closed" in last.message


@given(st.lists(st.text(max_size=10), min_size=1, max_size=4))
def test_every_answer_has_its_place(texts: list[str]) -> None:
    shown = ENV.format_tool_response(texts)
    assert shown == "\n".join(f"<tool_response>\n{text}\n</tool_response>" for text in texts)


def test_it_needs_no_stop_string() -> None:
    assert ENV.stop == ()


@given(st.lists(st.integers(0, 9), max_size=5))
def test_all_generated_tokens_belong_to_the_turn(ids: list[int]) -> None:
    assert ENV.process_responses_ids(ids, str, 9) == len(ids)
