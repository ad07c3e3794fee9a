"""Code between tags, and where a turn with code ends."""

from itertools import pairwise
from typing import Any

import pytest
from env_helpers import HERMES, TAGS, wild
from hypothesis import assume, given
from hypothesis import strategies as st

from recipe.retool.env.calls import INCOMPLETE, MALFORMED
from recipe.retool.env.code_tags import INSTRUCTION, CodeTagsEnv
from recipe.retool.env.settings import EnvSettings
from recipe.retool.tools.schema import TOOL_NAME

ENV = CodeTagsEnv()
EOS = 0
untagged = st.text(max_size=20).filter(lambda text: "code>" not in text)


@given(wild(*HERMES, *TAGS))
def test_any_text_is_read_and_its_calls_stay_in_order(text: str) -> None:
    calls = ENV.extract_tool_calls(text)
    starts = [call.start for call in calls]
    assert starts == sorted(set(starts))
    assert all(text.startswith(("<code>", "</code>"), start) for start in starts)
    assert bool(calls) == ("<code>" in text or "</code>" in text)


@given(untagged, st.lists(st.tuples(untagged, untagged), max_size=3))
def test_code_comes_back_as_written(lead: str, blocks: list[tuple[str, str]]) -> None:
    text = lead + "".join(f"<code>{code}</code>{words}" for code, words in blocks)
    calls = ENV.extract_tool_calls(text)
    assert [(call.name, call.arguments) for call in calls] == [
        (TOOL_NAME, {"code": code}) for code, _ in blocks
    ]


@given(untagged, untagged)
def test_open_code_is_incomplete(lead: str, code: str) -> None:
    (call,) = ENV.extract_tool_calls(f"{lead}<code>{code}")
    assert (call.problem, call.start) == (INCOMPLETE, len(lead))
    assert "not closed" in call.message


@given(untagged, untagged)
def test_an_end_without_a_begin_is_malformed(lead: str, rest: str) -> None:
    (call,) = ENV.extract_tool_calls(f"{lead}</code>{rest}")
    assert (call.problem, call.start) == (MALFORMED, len(lead))
    assert "no code was opened" in call.message


@given(st.lists(untagged, max_size=3))
def test_outputs_stand_between_interpreter_tags(texts: list[str]) -> None:
    shown = ENV.format_tool_response(texts)
    assert shown == "".join(f"\n<interpreter>\n{text}\n</interpreter>\n" for text in texts)


class Pieces:
    """A tokenizer whose tokens are any pieces of bytes, as those of byte-level BPE; 0 ends a turn."""

    def __init__(self, text: str, cuts: list[int]) -> None:
        raw = text.encode()
        edges = [0, *sorted({cut % (len(raw) + 1) for cut in cuts} - {0}), len(raw)]
        self.pieces = [b"<|im_end|>"]
        self.pieces += [raw[a:b] for a, b in pairwise(edges) if a < b]

    @property
    def ids(self) -> list[int]:
        return list(range(1, len(self.pieces)))

    def decode(self, ids: Any) -> str:
        return b"".join(self.pieces[n] for n in ids).decode(errors="replace")


cuts = st.lists(st.integers(0, 400), max_size=40)
JOINED = ("<code>", "</code>", "code>", "</", ">\n", "</code>\n\n", "/code", "é", "\U0001f600", "x = 1")


@given(st.lists(st.sampled_from(JOINED), max_size=12).map("".join), cuts, st.booleans())
def test_a_turn_ends_with_the_token_that_completes_the_tag(text: str, where: list[int], ended: bool) -> None:
    assume("</code>" in text)
    tokens = Pieces(text, where)
    ids = [*tokens.ids, *([EOS] if ended else [])]
    kept = ENV.process_responses_ids(ids, tokens.decode, EOS)
    assert "</code>" in tokens.decode(ids[:kept])
    assert "</code>" not in tokens.decode(ids[: kept - 1])


@given(st.lists(st.sampled_from([j for j in JOINED if "</code>" not in j]), max_size=9).map("".join), cuts)
def test_a_turn_without_the_tag_is_kept(text: str, where: list[int]) -> None:
    assume("</code>" not in text)
    tokens = Pieces(text, where)
    assert ENV.process_responses_ids(tokens.ids, tokens.decode, EOS) == len(tokens.ids)
    # Where code was opened, a reply on it follows in the same turn, so the turn's end goes.
    kept = ENV.process_responses_ids([*tokens.ids, EOS], tokens.decode, EOS)
    assert kept == len(tokens.ids) + ("<code>" not in text)


def test_nothing_generated_is_nothing_kept() -> None:
    assert ENV.process_responses_ids([], lambda ids: "", EOS) == 0


def test_the_end_of_code_stops_the_engine() -> None:
    assert ENV.stop == ("</code>",)


def test_settings_may_stop_otherwise() -> None:
    assert CodeTagsEnv(settings=EnvSettings(stop=("</answer>",))).stop == ("</answer>",)
    assert CodeTagsEnv(settings=EnvSettings(stop=())).stop == ()


messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": st.text()}),
    max_size=4,
)


@given(messages)
def test_the_instruction_stands_once_before_the_last_question(given_messages: list[dict[str, Any]]) -> None:
    once, schemas = ENV.announce(given_messages, [{"type": "function"}])
    assert schemas is None
    assert ENV.announce(once, None)[0] == once
    users = [n for n, message in enumerate(given_messages) if message["role"] == "user"]
    changed = [n for n, pair in enumerate(zip(given_messages, once, strict=True)) if pair[0] != pair[1]]
    assert changed == users[-1:]
    assert all(once[n]["content"] == INSTRUCTION + given_messages[n]["content"] for n in changed)


@pytest.mark.parametrize("text", ["", "Use <code>.\n"])
def test_another_instruction(text: str) -> None:
    env = CodeTagsEnv(settings=EnvSettings(instruction=text))
    assert env.announce([{"role": "user", "content": "q"}], None)[0][0]["content"] == f"{text}q"
