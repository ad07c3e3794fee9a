"""Trajectories over chat messages, with a real server and real sandboxed code."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_server import Reply, Script, serving

from recipe.retool.env.registry import env_of
from recipe.retool.env.settings import Budget
from recipe.retool.evaluation.chat import ChatPlayer
from recipe.retool.evaluation.client import Client
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
