"""Trajectories over chat messages, with a real server and real sandboxed code."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_server import Reply, Script, serving

from recipe.retool.env.calls import Session
from recipe.retool.env.registry import env_of
from recipe.retool.env.settings import Budget
from recipe.retool.evaluation.chat import ChatPlayer
from recipe.retool.evaluation.client import Client, NotGenerated
from recipe.retool.evaluation.driver import Played
from recipe.retool.evaluation.problems import name_problems
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.tools.interpreter import CodeInterpreter
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA, TOOL_NAME

PROBLEM = name_problems(
    [
        {
            "raw_prompt": [{"role": "user", "content": "What is 6*7?"}],
            "data_source": "sums",
            "reward_model": {"ground_truth": "42"},
        }
    ]
)[0]
ANSWER: Reply = {"message": {"role": "assistant", "content": "It is \\boxed{42}."}}
NATIVE: Reply = {
    "finish_reason": "tool_calls",
    "message": {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": TOOL_NAME, "arguments": '{"code": "print(6*7)"}'},
            }
        ],
    },
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[str]:
    with EmbeddedSandbox(workers=1) as running:
        yield running.url


def said(text: str, reason: str = "stop") -> Reply:
    return {"message": {"role": "assistant", "content": text}, "finish_reason": reason}


def play(sandbox: str, env: str, replies: list[Reply], budget: Budget | None = None) -> tuple[Played, Script]:
    script = Script(lambda body: replies[len(script.asked) - 1])
    tool = CodeInterpreter.from_config({"sandbox_url": sandbox})
    tools: dict[str, Any] = {TOOL_NAME: tool}
    with serving(script) as url:
        player = ChatPlayer(
            Client(url, "m"),
            env_of({"name": env}, tools),
            tools,
            {TOOL_NAME: CODE_INTERPRETER_SCHEMA},
            budget or Budget(),
            {"temperature": 0, "max_tokens": 64},
        )
        return asyncio.run(player.play(PROBLEM, seed=3)), script


def test_calls_that_the_server_parsed_are_run(sandbox: str) -> None:
    played, script = play(sandbox, "hermes", [NATIVE, ANSWER])
    assert (played.fields["tool_ok"], played.fields["num_turns"]) == (1.0, 4)
    last = script.asked[1]["messages"][-1]
    assert (last["role"], last["tool_call_id"], last["content"].strip()) == ("tool", "c1", "42")


def native(*arguments: Any, content: str | None = None) -> Reply:
    """A turn with a parsed call for each of the arguments."""
    functions = [{"name": TOOL_NAME, "arguments": given} for given in arguments]
    calls = [
        {"id": f"c{number}", "type": "function", "function": function}
        for number, function in enumerate(functions)
    ]
    message = {"role": "assistant", "content": content, "tool_calls": calls}
    return {"finish_reason": "tool_calls", "message": message}


def test_arguments_that_the_server_has_decoded_are_run(sandbox: str) -> None:
    played, script = play(sandbox, "hermes", [native({"code": "print(6*7)"}), ANSWER])
    assert played.fields["tool_ok"] == 1.0
    asked = script.asked[1]["messages"][-2]["tool_calls"][0]["function"]["arguments"]
    assert asked == '{"code": "print(6*7)"}'


def test_malformed_arguments_do_not_go_back_as_a_call(sandbox: str) -> None:
    """Servers that read the arguments of the dialogue refuse such a request."""
    played, script = play(sandbox, "hermes", [native('{"code": '), ANSWER])
    assert played.fields["tool_malformed"] == 1.0
    assert [message["role"] for message in script.asked[1]["messages"]] == ["user", "assistant", "user"]
    assert "could not be read" in script.asked[1]["messages"][-1]["content"]


def test_results_of_calls_in_text_and_of_parsed_ones_are_not_mixed_up(sandbox: str) -> None:
    written = f'<tool_call>\n{{"name": "{TOOL_NAME}", "arguments": {{"code": "print(1)"}}}}\n</tool_call>'
    played, script = play(sandbox, "hermes", [native('{"code": "print(2)"}', content=written), ANSWER])
    assert played.fields["tool_ok"] == 2.0
    assert script.asked[1]["messages"][-1]["content"].split()[1::3] == ["1", "2"]


def test_each_of_several_calls_gets_its_own_result(sandbox: str) -> None:
    turn = native('{"code": "print(1)"}', '{"code": "print(2)"}')
    played, script = play(sandbox, "hermes", [turn, ANSWER])
    told = [
        (message["tool_call_id"], message["content"].strip()) for message in script.asked[1]["messages"][-2:]
    ]
    assert told == [("c0", "1"), ("c1", "2")]
    assert played.fields["num_turns"] == 4


def test_what_only_the_server_knows_of_its_turn_is_not_sent_back(sandbox: str) -> None:
    thought: Reply = {"message": {**NATIVE["message"], "reasoning_content": "hm"}}  # type: ignore[index]
    _, script = play(sandbox, "hermes", [thought, ANSWER])
    assert set(script.asked[1]["messages"][-2]) == {"role", "content", "tool_calls"}


def test_a_dialogue_that_outgrows_the_server_s_context_is_a_truncation(sandbox: str) -> None:
    played, _ = play(sandbox, "hermes", [NATIVE, "This model's maximum context length is 64 tokens"])
    assert (played.fields["over_tokens"], played.fields["tool_ok"]) == (1.0, 1.0)


def test_another_refusal_within_a_dialogue_is_no_answer(sandbox: str) -> None:
    with pytest.raises(NotGenerated, match="role tool"):
        play(sandbox, "hermes", [NATIVE, "no role tool here"])


def test_time_that_is_used_up_by_a_tool_ends_it(sandbox: str) -> None:
    slow = native('{"code": "import time; time.sleep(5)"}')
    played, script = play(sandbox, "hermes", [slow], Budget(seconds=1))
    assert (played.fields["over_seconds"], len(script.asked)) == (1.0, 1)


def test_a_session_that_cannot_be_closed_costs_no_answer(
    sandbox: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(_: Session) -> None:
        raise OSError("gone")

    monkeypatch.setattr(Session, "close", gone)
    assert play(sandbox, "text", [ANSWER])[0].output == "It is \\boxed{42}."


def test_calls_in_the_text_are_run(sandbox: str) -> None:
    call = '<tool_call>\n{"name": "code_interpreter", "arguments": {"code": "print(6*7)"}}\n</tool_call>'
    played, script = play(sandbox, "hermes", [said(call), ANSWER])
    assert played.fields["tool_ok"] == 1.0
    assert "<tool_response>\n42" in script.asked[1]["messages"][-1]["content"]


def test_the_schemas_of_the_tools_are_sent(sandbox: str) -> None:
    _, script = play(sandbox, "hermes", [ANSWER])
    assert script.asked[0]["tools"][0]["function"]["name"] == TOOL_NAME


def test_a_stop_string_that_the_server_took_out_is_put_back(sandbox: str) -> None:
    played, script = play(sandbox, "retool", [said("<code>\nprint(6*7)\n"), ANSWER])
    assert played.fields["tool_ok"] == 1.0
    assert "<interpreter>\n42" in played.output
    assert "tools" not in script.asked[0]


def test_without_tools_the_first_turn_is_the_last(sandbox: str) -> None:
    played, script = play(sandbox, "text", [ANSWER])
    assert (played.fields["model_turns"], len(script.asked)) == (1.0, 1)


def test_a_cut_turn_is_a_truncation(sandbox: str) -> None:
    played, _ = play(sandbox, "hermes", [said("It is", "length")])
    assert (played.fields["truncated"], played.fields["over_tokens"]) == (1.0, 1.0)


def test_budgets_hold(sandbox: str) -> None:
    played, _ = play(sandbox, "hermes", [NATIVE, NATIVE], Budget(turns=2))
    assert (played.fields["over_turns"], played.fields["tool_not_run"]) == (1.0, 1.0)


def test_the_model_s_words_are_kept_apart_from_the_tools(sandbox: str) -> None:
    played, _ = play(sandbox, "hermes", [NATIVE, ANSWER])
    assert [mask for mask, _, _ in played.fields["segments"]] == [1, 0, 1]
    assert "boxed" in played.fields["model_text"]
    assert "<tool_response>" not in played.fields["model_text"]
