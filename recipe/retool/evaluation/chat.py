"""Trajectories over chat messages, for servers of which only the text is known.

The environment, its budgets, tools and counters are those of training; what differs is that the server
renders the messages, so nothing is known of tokens: their counters stay 0, and the response length bounds
each turn alone. Tool calls that the server has parsed itself are written back in the environment's format.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from recipe.retool.env.base import Message, ToolEnv
from recipe.retool.env.calls import NOT_RUN, Session, Tools, chosen_names, close_session
from recipe.retool.env.episode import Episode
from recipe.retool.env.hermes import CLOSE, OPEN
from recipe.retool.env.settings import Budget
from recipe.retool.env.transcript import MODEL, SEGMENTS, TOOL
from recipe.retool.evaluation.client import Client, Generated, NotGenerated
from recipe.retool.evaluation.driver import Played
from recipe.retool.evaluation.problems import Problem
from recipe.retool.records.behaviour import CALL_SECONDS

_CUT = "length"  # a finish reason


class ChatPlayer:
    """Plays trajectories with a :class:`Client`.

    Args:
        client: The server.
        env: The environment.
        tools: Tools by name.
        schemas: Their schemas by name.
        budget: Limits of a trajectory.
        sampling: Sampling parameters; ``max_tokens`` is that of one turn.
    """

    def __init__(
        self,
        client: Client,
        env: ToolEnv,
        tools: Tools,
        schemas: Mapping[str, Mapping[str, Any]],
        budget: Budget,
        sampling: Mapping[str, Any],
    ) -> None:
        self._client, self._env, self._tools, self._schemas = client, env, tools, schemas
        self._budget = budget
        self._sampling = {**sampling, "stop": list(env.stop)} if env.stop else dict(sampling)

    async def play(self, problem: Problem, seed: int) -> Played:
        """One trajectory; NotGenerated when the server gives no answer."""
        names = chosen_names(problem.row.get("extra_info"), self._tools)
        tools = {name: self._tools[name] for name in names}
        given = problem.row.get("tools_kwargs") or {}
        episode = Episode(tools, self._budget, Session(f"{problem.doc_id}-{seed}", given=given))
        announced = self._env.announce(
            list(problem.row["raw_prompt"]), [self._schemas[name] for name in tools]
        )
        try:
            parts = await self._turns(*announced, episode, seed)
        finally:
            await close_session(episode.session)
        fields = {
            **episode.counters,
            "num_turns": 1 + len(parts),
            "model_text": "\n".join(text for mask, text in parts if mask == MODEL),
            SEGMENTS: [(mask, 0, text) for mask, text in parts],
            CALL_SECONDS: episode.call_seconds,
        }
        prompt = "\n".join(f"{message['role']}\n{message['content']}" for message in announced[0])
        return Played(prompt, "\n".join(text for _, text in parts), fields)

    async def _turns(
        self,
        messages: list[Message],
        schemas: Sequence[Mapping[str, Any]] | None,
        episode: Episode,
        seed: int,
    ) -> list[tuple[int, str]]:
        """Turns of model and tools, in order, as (mask, text)."""
        parts: list[tuple[int, str]] = []
        while True:
            sampling = {**self._sampling, "seed": seed + len(parts)}
            try:
                made = await self._client.chat(messages, sampling, schemas)
            except NotGenerated as error:
                if not (parts and error.too_long):
                    raise
                episode.end_by("tokens")  # the dialogue has outgrown the server's context
                return parts
            text = self._text(made)
            parts.append((MODEL, text))
            calls = self._env.extract_tool_calls(text)
            episode.add_turn(text, calls)
            over = "tokens" if made.finish_reason == _CUT else ""
            if calls and not over:
                over = episode.used_up(tool_turns=len(parts) // 2)
            if over:
                for call in calls:
                    episode.counters[f"tool_{call.problem or NOT_RUN}"] += 1
                episode.end_by(over)
            if over or not calls:
                return parts
            results = await self._env.run_calls(text, calls, episode)
            texts = [result.text for result in results]
            parts.append((TOOL, self._env.format_tool_response(texts)))
            if episode.seconds_left() == 0:
                episode.end_by("seconds")
                return parts
            messages = [*messages, *self._answers(made, text, texts)]

    def _text(self, made: Generated) -> str:
        """What the model wrote, with the calls and the stop string that servers take out of it."""
        text = str(made.message.get("content") or "")
        for call in _parsed_calls(made):
            name, arguments = json.dumps(call["function"]["name"]), call["function"]["arguments"]
            text += f'\n{OPEN}\n{{"name": {name}, "arguments": {arguments}}}\n{CLOSE}'
        closing = [stop for stop in self._env.stop if stop.startswith("</")]
        if made.finish_reason == "stop":
            text += next((end for end in closing if text.count(end) < text.count(f"<{end[2:]}")), "")
        return text

    def _answers(self, made: Generated, text: str, texts: Sequence[str]) -> list[Message]:
        """The turn and its results: in turns of role tool if each is that of a call the server can read."""
        said, called = str(made.message.get("content") or ""), _parsed_calls(made)
        calls = self._env.extract_tool_calls(text)
        own = not self._env.extract_tool_calls(said) and not any(call.problem for call in calls)
        if called and own and len(called) == len(texts):
            turns = [
                {"role": "tool", "tool_call_id": call["id"], "content": answer}
                for call, answer in zip(called, texts, strict=True)
            ]
            return [{"role": "assistant", "content": said, "tool_calls": called}, *turns]
        answer = self._env.format_tool_response(texts)
        return [{"role": "assistant", "content": text}, {"role": "user", "content": answer}]


def _parsed_calls(made: Generated) -> list[dict[str, Any]]:
    """The calls that the server has parsed, with arguments as text; some servers decode those."""
    calls = []
    for call in made.message.get("tool_calls") or ():
        function = call.get("function") or {}
        given = function.get("arguments") or "{}"
        text = given if isinstance(given, str) else json.dumps(given)
        named = {"name": str(function.get("name", "")), "arguments": text}
        calls.append({"id": str(call.get("id", "")), "type": "function", "function": named})
    return calls
