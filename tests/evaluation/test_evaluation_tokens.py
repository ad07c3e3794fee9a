"""The agent loop of training against a real server: token in, token out."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_server import Script, serving

from recipe.retool.evaluation.client import Client
from recipe.retool.evaluation.driver import Played
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.tiny.files import TaskFiles, write_task

CALL = (
    '<tool_call>\n{"name": "code_interpreter", "arguments": {"code": "print(6*7)"}}\n</tool_call><|im_end|>'
)
ANSWER = "\\boxed{42}<|im_end|>"


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> TaskFiles:
    files = TaskFiles(tmp_path_factory.mktemp("task"))
    write_task(files, seed=0, sft_rows=8, train=8, test=8)
    return files


@pytest.fixture
def _sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Data sets of Hugging Face replace os.environ by a copy when they filter; later tests need the real one.
    monkeypatch.setattr(os, "environ", os.environ)
    with EmbeddedSandbox(workers=1) as running:
        monkeypatch.setenv("RETOOL_SANDBOX_URL", running.url)
        yield


def play(task: TaskFiles, texts: list[str]) -> tuple[Played, Script, Any]:
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer

    from recipe.retool.stages.compose import compose_config
    from recipe.retool.verl_ext.token_player import TokenPlayer, validation_problems

    words = ["device=cpu", "model=tiny", f"actor_rollout_ref.model.path={task.base}"]
    config = compose_config("retool_ppo", words)
    OmegaConf.resolve(config)
    tokenizer = AutoTokenizer.from_pretrained(task.base)
    turns = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    script = Script(lambda body: {"text": "", "token_ids": turns[len(script.asked) - 1]})
    problems = validation_problems(config, [str(task.test)], tokenizer)
    with serving(script) as url:
        player = TokenPlayer(config, Client(url, "m"), tokenizer, {"temperature": 0}, "qwen2")
        return asyncio.run(player.play(problems[0], seed=5)), script, tokenizer


@pytest.mark.usefixtures("_sandbox")
def test_a_turn_continues_the_very_tokens_of_the_one_before(task: TaskFiles) -> None:
    _, script, tokenizer = play(task, [CALL, ANSWER])
    first, second = (body["prompt"] for body in script.asked)
    written = tokenizer.encode(CALL, add_special_tokens=False)
    assert second[: len(first) + len(written)] == [*first, *written]
    assert "<tool_response>\n42" in tokenizer.decode(second)


@pytest.mark.usefixtures("_sandbox")
def test_counters_and_segments_are_those_of_training(task: TaskFiles) -> None:
    played, _, _ = play(task, [CALL, ANSWER])
    assert (played.fields["tool_ok"], played.fields["num_turns"]) == (1.0, 4)
    assert [mask for mask, _, _ in played.fields["segments"]] == [1, 0, 1]
    assert played.fields["response_tokens"] == sum(count for _, count, _ in played.fields["segments"])


@pytest.mark.usefixtures("_sandbox")
def test_each_turn_is_asked_with_its_limit_and_seed(task: TaskFiles) -> None:
    _, script, _ = play(task, [CALL, ANSWER])
    limits = [body["max_tokens"] for body in script.asked]
    assert limits[0] == 96 > limits[1]  # data.max_response_length of model=tiny
    assert len({body["seed"] for body in script.asked}) == 2
