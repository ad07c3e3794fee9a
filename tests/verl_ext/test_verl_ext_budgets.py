"""What ends a trajectory, what is masked, and what the engine is told."""

from typing import Any

import pytest

pytest.importorskip("verl")

from scripted import Engine, Printer, Reply, check, new_loop, play, settings, tokenizer_of

from recipe.retool.env.counters import COUNTERS
from recipe.retool.tools.schema import TOOL_NAME

TOKENIZER = tokenizer_of("tiny")
CALL = f'<tool_call>\n{{"name": "{TOOL_NAME}", "arguments": {{"code": "1"}}}}\n</tool_call>'
OVER = ("over_tokens", "over_turns", "over_calls", "over_seconds")


def engine_of(*texts: str, **kwargs: Any) -> Engine:
    return Engine(TOKENIZER, [Reply(text) for text in texts], **kwargs)


def flags(output: Any) -> list[str]:
    assert output.extra_fields["truncated"] == any(output.extra_fields[name] for name in OVER)
    return [name for name in OVER if output.extra_fields[name]]


@pytest.mark.parametrize(
    ("retool", "length", "over", "requests"),
    [
        ({}, 2048, [], 4),
        ({"multi_turn": {"max_assistant_turns": 2}}, 2048, ["over_turns"], 2),
        ({"multi_turn": {"max_user_turns": 1}}, 2048, ["over_turns"], 2),
        ({"budget": {"calls": 2}}, 2048, ["over_calls"], 3),
        ({"budget": {"seconds": 0.001}}, 2048, ["over_seconds"], 1),
        ({}, 20, ["over_tokens"], 1),
    ],
)
def test_each_budget_has_its_flag(
    retool: dict[str, Any], length: int, over: list[str], requests: int
) -> None:
    engine = engine_of(CALL, CALL, CALL, "\\boxed{1}")
    output = play(engine, Printer(["1"], wait=0.01), length=length, retool=retool)
    check(output, engine)
    assert flags(output) == over
    assert len(engine.prompts) == requests
    found = output.extra_fields
    assert found["tool_calls"] + found["tool_not_run"] + found["tool_incomplete"] == min(requests, 3)
    assert found.keys() >= COUNTERS.keys() - {"num_turns"}


def test_the_wall_clock_ends_a_call_and_the_trajectory() -> None:
    engine = engine_of(CALL, "\\boxed{1}")
    output = play(engine, Printer(["1"], wait=60), retool={"budget": {"seconds": 0.1}})
    assert (flags(output), len(engine.prompts)) == (["over_seconds"], 1)
    assert output.extra_fields["tool_not_run"] == 1


def test_an_answer_in_the_last_turn_is_no_truncation() -> None:
    output = play(engine_of("\\boxed{1}"), Printer(["1"]), retool={"multi_turn": {"max_assistant_turns": 1}})
    assert flags(output) == []


def test_an_answer_of_exactly_the_limit_is_no_truncation() -> None:
    text = "\\boxed{1}"
    length = len(TOKENIZER.encode(text)) + 1
    assert flags(play(engine_of(text), Printer(["1"]), length=length)) == []
    assert flags(play(engine_of(text), Printer(["1"]), length=length - 1)) == ["over_tokens"]


def test_an_output_that_leaves_no_room_ends_the_trajectory() -> None:
    engine = engine_of(CALL, "\\boxed{1}")
    output = play(engine, Printer(["x" * 3000]), length=1000)
    check(output, engine)
    assert (flags(output), len(engine.prompts)) == (["over_tokens"], 1)
    assert output.response_ids == engine.turns[0]


@pytest.mark.parametrize(
    ("masks", "replies", "kind", "masked"),
    [
        ({}, ["Hm."], "ok", 0),
        ({"void_turns": True}, ["Hm."], "ok", 1),
        ({"void_turns": True}, ["\\boxed{1}"], "ok", 0),
        ({"truncated": True}, [CALL, CALL], "ok", 1),
        ({"truncated": False}, [CALL, CALL], "ok", 0),
        ({"unavailable": "mask"}, [CALL, "\\boxed{1}"], "unavailable", 1),
        ({"unavailable": "drop"}, [CALL, "\\boxed{1}"], "unavailable", 0),
        ({"unavailable": "mask"}, [CALL, "\\boxed{1}"], "error", 0),
    ],
)
def test_masks_hide_whole_trajectories(
    masks: dict[str, Any], replies: list[str], kind: str, masked: int
) -> None:
    engine = engine_of(*replies)
    retool = {"masks": masks, "multi_turn": {"max_assistant_turns": 2}}
    output = play(engine, Printer(["1"], kind), retool=retool)
    check(output, engine)
    assert output.extra_fields["masked"] == masked
    assert any(output.response_mask) != masked
    assert output.extra_fields["model_text"]  # the reward is scored, and stays in the baselines


@pytest.mark.parametrize(("at", "logprobs"), [(0, True), (0, False), (1, True)])
@pytest.mark.parametrize("part", ["", "Hm"])
def test_a_request_that_the_engine_aborts(at: int, logprobs: bool, part: str) -> None:
    replies = [Reply(CALL)] * at + [Reply(part, end=False, reason="aborted")]
    engine = Engine(TOKENIZER, replies, logprobs)
    output = play(engine, Printer(["1"]), sampling={"logprobs": logprobs})
    assert output.response_ids
    assert len(output.response_mask) == len(output.response_ids)
    assert len(output.response_logprobs or []) == logprobs * len(output.response_ids)
    assert not any(output.response_mask)
    found = output.extra_fields
    assert (found["aborted"], found["masked"], found["void_turns"], found["truncated"]) == (1, 1, 0, 0)


def test_an_engine_that_says_nothing_ends_the_trajectory() -> None:
    output = play(Engine(TOKENIZER, [Reply(ids=[])]), Printer(["1"]))
    assert (output.response_ids, output.response_mask) == ([TOKENIZER.eos_token_id], [0])


@pytest.mark.parametrize(
    ("env", "stop", "told"),
    [
        ("hermes", None, None),
        ("retool", None, ["</code>"]),
        ("retool", ["</code>", "</answer>"], ["</code>", "</answer>"]),
        ("hermes", ["</tool_call>"], ["</tool_call>"]),
        ("retool", [], None),
    ],
)
def test_stop_strings_reach_the_engine(env: str, stop: list[str] | None, told: list[str] | None) -> None:
    engine = engine_of("\\boxed{1}")
    play(engine, Printer(["1"]), env, retool={"env": {"stop": stop}}, sampling={"temperature": 0.5})
    assert (engine.sampling[0].get("stop"), engine.sampling[0]["temperature"]) == (told, 0.5)


def test_a_turn_that_a_stop_string_ended_is_closed_for_the_model() -> None:
    engine = Engine(TOKENIZER, [Reply(CALL, end=False), Reply("\\boxed{1}")])
    output = play(engine, Printer(["1"]), retool={"env": {"stop": ["</tool_call>"]}})
    check(output, engine)
    with_end = engine_of(CALL, "\\boxed{1}")
    assert output.response_ids == play(with_end, Printer(["1"])).response_ids
    assert sum(output.response_mask) == sum(map(len, with_end.turns)) - 1


@pytest.mark.parametrize(
    ("selected", "known"), [(None, True), ([], True), ([TOOL_NAME], True), (["other"], False)]
)
def test_a_row_chooses_its_tools(selected: list[str] | None, known: bool) -> None:
    import asyncio

    engine = engine_of(CALL, "\\boxed{1}")

    async def run() -> Any:
        loop = new_loop(engine, Printer(["1"]), settings("hermes", 2048, None, None))
        info = {"tool_selection": selected}
        return await loop.run({}, raw_prompt=[{"role": "user", "content": "q"}], extra_info=info)

    found = asyncio.run(run()).extra_fields
    assert (found["tool_calls"], found["tool_unknown"]) == (float(known), float(not known))
    assert (TOOL_NAME in TOKENIZER.decode(engine.prompts[0])) == known


@pytest.mark.parametrize("fails", [False, True])
def test_what_tools_hold_is_closed_once(fails: bool) -> None:
    tool = Printer(["1"])
    engine = engine_of(CALL) if fails else engine_of(CALL, "\\boxed{1}")
    if fails:
        with pytest.raises(IndexError):  # the engine fails in the second turn
            play(engine, tool)
    else:
        play(engine, tool)
    assert tool.closed == 1


def test_requests_of_a_trajectory_share_a_name() -> None:
    engine = engine_of(CALL, CALL, "\\boxed{1}")
    play(engine, Printer(["1"]))
    assert len(engine.names) == 1


def test_all_answers_of_a_turn_go_to_the_model_in_order() -> None:
    engine = engine_of(CALL + CALL + "<tool_call>{</tool_call>", "\\boxed{1}")
    output = play(engine, Printer(["first", "second"]))
    text = TOKENIZER.decode(output.response_ids)
    places = [text.index(part) for part in ("first", "second", "could not be read")]
    assert places == sorted(places)
    assert text.count("</tool_response>") == 3
