"""The environment: the state transition from the raw text of a model's turn to what the tools answer.

An environment is one format of tool calls. It holds no state of a trajectory (that is an ``Episode``), so one
object serves all of them. The interface is that of Agent-R1's tool environments (``step``, ``batch_step``,
``extract_tool_calls``, ``format_tool_response``, ``stop``, ``process_responses_ids``).
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from recipe.retool.env.calls import NOT_RUN, UNKNOWN, ParsedCall, Step, ToolResult, Tools
from recipe.retool.env.episode import Episode
from recipe.retool.env.guard import Guard
from recipe.retool.env.settings import EnvSettings

logger = logging.getLogger(__name__)
Message = dict[str, Any]
Decode = Callable[[Sequence[int]], str]


class ToolEnv(ABC):
    """One format of tool calls.

    Args:
        tools: The tools by name; an episode may have fewer.
        settings: Settings of ``retool.env``.
        guard: Keeps the texts of tools from forging a turn; of the model's tokenizer, where there is one.
    """

    name: ClassVar[str]
    # True: tool text continues the model's own turn. False: it is a turn of role "tool", which the chat
    # template of the model renders.
    inline: ClassVar[bool] = False
    uses_tools: ClassVar[bool] = True

    def __init__(
        self, tools: Tools | None = None, settings: EnvSettings | None = None, guard: Guard | None = None
    ) -> None:
        self.tools: Tools = tools or {}
        self.guard = guard or Guard()
        self.settings = settings or EnvSettings(name=self.name)

    @property
    def stop(self) -> tuple[str, ...]:
        """Strings that end a turn of the model, besides its end-of-turn token."""
        return self.own_stop if self.settings.stop is None else self.settings.stop

    @property
    def own_stop(self) -> tuple[str, ...]:
        """``stop`` where the settings say nothing."""
        return ()

    def announce(
        self, messages: Sequence[Message], schemas: Sequence[Mapping[str, Any]] | None
    ) -> tuple[list[Message], list[Mapping[str, Any]] | None]:
        """The prompt of a problem: its messages, and the schemas that the chat template shows."""
        return list(messages), list(schemas) if schemas else None

    @abstractmethod
    def extract_tool_calls(self, raw_response: str) -> list[ParsedCall]:
        """The calls of a turn, in order, those with a problem included; never raises."""

    @abstractmethod
    def format_tool_response(self, texts: Sequence[str]) -> str:
        """The text of the tools' turn, one text for each call, as the model sees it."""

    def process_responses_ids(self, ids: Sequence[int], decode: Decode, eos_id: int | None = None) -> int:
        """How many of the generated ids belong to the turn; the others are dropped.

        For formats without a usable stop string. Ids are counted, never decoded and encoded again.

        Args:
            ids: Tokens that the engine generated for one turn.
            decode: The tokenizer's decoding, special tokens kept.
            eos_id: The token that ends a turn.
        """
        return len(ids)

    async def run_calls(
        self, raw_response: str, calls: Sequence[ParsedCall], episode: Episode
    ) -> list[ToolResult]:
        """Run the calls of a turn concurrently; a bad call is a text to the model.

        Args:
            raw_response: The turn.
            calls: Its calls, as ``extract_tool_calls`` found them.
            episode: The trajectory; ``add_turn`` was called for this turn.

        Returns:
            One result for each call, in order, with a text that cannot forge a turn.
        """
        allowed = min(self.settings.max_parallel_calls, episode.calls_left())
        jobs, runnable = [], 0
        for call in calls:
            runnable += not call.problem and call.name in episode.tools
            jobs.append(_run(call, episode, runnable <= allowed))
        results = await asyncio.gather(*jobs)
        for call, result in zip(calls, results, strict=True):
            episode.add_result(call, result, raw_response)
        return [replace(result, text=self.guard(result.text)) for result in results]

    async def step(self, raw_response: str, episode: Episode | None = None) -> Step:
        """The state transition: the tools' answer to a turn, whether all went well, whether it goes on."""
        episode = episode or Episode(self.tools)
        calls = self.extract_tool_calls(raw_response)
        episode.add_turn(raw_response, calls)
        results = await self.run_calls(raw_response, calls, episode)
        text = self.format_tool_response([result.text for result in results]) if results else ""
        return Step(text, all(result.kind == "ok" for result in results), bool(calls))

    async def batch_step(
        self, raw_responses: Sequence[str], episodes: Sequence[Episode] | None = None
    ) -> list[Step]:
        """``step`` for several trajectories at once; answers in the order of the responses."""
        given = episodes or [Episode(self.tools) for _ in raw_responses]
        pairs = list(zip(raw_responses, given, strict=True))
        return list(await asyncio.gather(*(self.step(raw, episode) for raw, episode in pairs)))


async def _run(call: ParsedCall, episode: Episode, allowed: bool) -> ToolResult:
    """One call, or why it is not run."""
    if call.problem:
        return ToolResult(call.message, call.problem)
    if call.name not in episode.tools:
        names = ", ".join(episode.tools) or "none"
        return ToolResult(f"Unknown tool {call.name[:100]!r}. Available tools: {names}.", UNKNOWN)
    if not allowed:
        return ToolResult("[not run: the limit of tool calls is reached]", NOT_RUN)
    tool, left = episode.tools[call.name], episode.seconds_left()
    try:
        return await asyncio.wait_for(tool.call(call.arguments, episode.session), left)
    except Exception as problem:
        if isinstance(problem, asyncio.TimeoutError) and episode.seconds_left() == 0:
            return ToolResult("[stopped: no time is left]", NOT_RUN)  # perhaps a slow sandbox: nobody's error
        # Tools of other packages may break their word; one trajectory's call must not end the others.
        logger.exception("tool %s raised", call.name)
        return ToolResult(f"Error executing tool {call.name!r}: {type(problem).__name__}: {problem}", "error")
