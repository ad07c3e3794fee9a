"""Whole trajectories of the agent loop: the engine is scripted, all else is real."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from chat_styles import STYLES
from omegaconf import OmegaConf

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA, TOOL_NAME

QUESTION = [{"role": "user", "content": "What is 6*7?"}]


def tokenizer_of(style: str) -> Any:
    """The tiny model's tokenizer with the chat template of a style; "tiny" is its own."""
    from recipe.retool.tiny.model import build_tokenizer

    tokenizer = build_tokenizer()
    if style != "tiny":
        tokenizer.chat_template = STYLES[style]
        tokenizer.add_tokens(["<think>", "</think>"])
    return tokenizer


@dataclass
class Reply:
    """What the engine answers to one request.

    Attributes:
        text: The turn's text.
        end: Whether the end-of-turn token follows.
        reason: The engine's reason to stop.
        ids: Tokens in place of those of the text.
    """

    text: str = ""
    end: bool = True
    reason: str | None = "completed"
    ids: list[int] | None = None


@dataclass
class Engine:
    """Answers one request after the other, at most as many tokens as asked for."""

    tokenizer: Any
    replies: Sequence[Reply]
    logprobs: bool = True
    prompts: list[list[int]] = field(default_factory=list)
    sampling: list[dict[str, Any]] = field(default_factory=list)
    turns: list[list[int]] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    async def generate(
        self, request_id: str, *, prompt_ids: list[int], sampling_params: dict[str, Any]
    ) -> Any:
        from verl.workers.rollout.replica import TokenOutput

        reply = self.replies[len(self.prompts)]
        self.names.add(request_id)
        self.prompts.append(list(prompt_ids))
        self.sampling.append(sampling_params)
        ids = reply.ids
        if ids is None:
            ids = self.tokenizer.encode(reply.text, add_special_tokens=False)
            ids += [self.tokenizer.eos_token_id] * reply.end
        ids = ids[: sampling_params.get("max_tokens", len(ids))]
        self.turns.append(ids)
        await asyncio.sleep(0)
        logs = [-0.5] * len(ids) if self.logprobs else None
        return TokenOutput(token_ids=list(ids), log_probs=logs, stop_reason=reply.reason)


class Printer:
    """A tool of our own with scripted results, as its verl adapter shows it."""

    name = TOOL_NAME
    tool_schema = SimpleNamespace(model_dump=lambda **_: CODE_INTERPRETER_SCHEMA)

    def __init__(self, answers: Sequence[str], kind: str = "ok", wait: float = 0) -> None:
        self.tool = self
        self.answers, self.kind, self.wait = list(answers), kind, wait
        self.seen: list[Any] = []
        self.closed = 0

    async def call(self, arguments: Any, session: Session) -> ToolResult:
        session.held[self.name] = self
        answer = self.answers[len(self.seen) % len(self.answers)]
        self.seen.append(arguments)
        await asyncio.sleep(self.wait)
        return ToolResult(answer, self.kind, 0.25, 1)

    async def close(self) -> None:
        self.closed += 1


def settings(env: str, length: int, retool: Mapping[str, Any] | None, thinking: bool | None) -> Any:
    """The part of a run's config that an agent loop reads."""
    kwargs = {} if thinking is None else {"enable_thinking": thinking}
    turns = {"max_user_turns": 16, "max_assistant_turns": 16, "max_parallel_calls": 4, "format": "hermes"}
    turns |= {"max_tool_response_length": 9999, "tool_response_truncate_side": "right"}
    given = dict(retool or {})
    turns |= given.pop("multi_turn", {})
    rollout = {
        "prompt_length": 4096,
        "response_length": length,
        "multi_turn": turns,
        "full_determinism": False,
    }
    return OmegaConf.create(
        {
            "actor_rollout_ref": {"rollout": rollout},
            "data": {"apply_chat_template_kwargs": kwargs},
            "retool": {**given, "env": {"name": env, **given.get("env", {})}},
        }
    )


def new_loop(engine: Any, tool: Any, config: Any, family: str = "qwen2") -> Any:
    from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap
    from verl.utils.dataset.rl_dataset import RLHFDataset

    from recipe.retool.verl_ext.agent_loop import ReToolAgentLoop

    wraps = DictConfigWrap(config), DictConfigWrap(config.data)
    tools = ToolListWrap([tool] if tool else [])
    return ReToolAgentLoop(
        wraps[0], engine, engine.tokenizer, None, RLHFDataset, wraps[1], family, tools=tools
    )


def play(
    engine: Engine,
    tool: Any,
    env: str = "hermes",
    length: int = 2048,
    retool: Mapping[str, Any] | None = None,
    thinking: bool | None = None,
    prompt: Sequence[Mapping[str, Any]] = QUESTION,
    sampling: Mapping[str, Any] | None = None,
) -> Any:
    """One trajectory; the output of the agent loop."""

    async def run() -> Any:
        loop = new_loop(engine, tool, settings(env, length, retool, thinking))
        messages = [dict(message) for message in prompt]
        return await loop.run(dict(sampling or {}), raw_prompt=messages, extra_info={})

    return asyncio.run(run())


def check(output: Any, engine: Engine, env: str = "hermes") -> None:
    """What holds for every trajectory: equal lengths, growing prompts, the mask of the model's tokens."""
    ids, mask, logs = output.response_ids, output.response_mask, output.response_logprobs
    assert len(ids) == len(mask)
    whole = [*output.prompt_ids, *ids]
    trained = [0] * len(whole)
    for prompt, turn in zip(engine.prompts, engine.turns, strict=True):
        assert whole[: len(prompt)] == prompt
        kept = kept_of(engine.tokenizer, turn, env)
        assert whole[len(prompt) : len(prompt) + kept] == turn[:kept]
        trained[len(prompt) : len(prompt) + kept] = [1] * kept
    trained = trained[len(output.prompt_ids) :]
    assert mask == ([0] * len(mask) if output.extra_fields["masked"] else trained)
    if engine.logprobs:
        assert logs == [-0.5 if by_model else 0.0 for by_model in trained]
    assert output.extra_fields["model_tokens"] == sum(trained)
    assert output.extra_fields["response_tokens"] == len(ids)


def kept_of(tokenizer: Any, turn: list[int], env: str) -> int:
    """How many tokens of a turn count, told one token at a time."""
    if env != "retool":
        return len(turn)
    for kept in range(len(turn) + 1):
        if "</code>" in tokenizer.decode(turn[:kept]):
            return kept
    return len(turn) - ("<code>" in tokenizer.decode(turn) and turn[-1] == tokenizer.eos_token_id)
