"""One trajectory: turns of the model and of the tools, until the model is done or a budget is used up."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.utils.profiler import simple_timer

from recipe.retool.env.base import Message
from recipe.retool.env.calls import NOT_RUN, ParsedCall
from recipe.retool.env.episode import Episode
from recipe.retool.env.transcript import SEGMENTS, Transcript, segments
from recipe.retool.verl_ext.bridge import is_old, token_limit, turns_for_the_reward
from recipe.retool.verl_ext.workshop import Workshop


class Trajectory:
    """The state of one trajectory.

    Args:
        loop: verl's agent loop: tokenizer, engine, response length.
        shop: What trajectories share.
        episode: Its budgets and counters.
        sampling: Sampling parameters of each turn.
    """

    def __init__(self, loop: Any, shop: Workshop, episode: Episode, sampling: dict[str, Any]) -> None:
        self._loop, self._shop, self._env, self._episode = loop, shop, shop.env, episode
        self._sampling = {**sampling, "stop": list(shop.env.stop)} if shop.env.stop else sampling
        self._metrics: dict[str, Any] = {}
        self._fields: dict[str, Any] = {}
        self._experts: Any = None
        self._messages: list[Message] = []
        self._schemas: list[Mapping[str, Any]] | None = None
        self._transcript = Transcript([], loop.response_length)
        self._tool_turns = 0
        # Some tokenizers tidy blanks before punctuation by default, which would change the code of a call.
        self._decode = partial(loop.tokenizer.decode, clean_up_tokenization_spaces=False)

    async def play(self, raw_prompt: list[Message], schemas: Sequence[Mapping[str, Any]]) -> None:
        """Run it to its end."""
        self._messages, self._schemas = self._env.announce(raw_prompt, schemas)
        self._transcript.prompt_ids = await self._prompt()
        while True:
            text, ended = await self._generate()
            calls = self._env.extract_tool_calls(text)
            self._episode.add_turn(text, calls)
            over = self._over(ended, bool(calls))
            if over or self._episode.counters["aborted"]:
                for call in calls:
                    self._episode.counters[f"tool_{call.problem or NOT_RUN}"] += 1
                return self._episode.end_by(over) if over else None
            if not calls:
                return None
            with simple_timer("tool_calls", self._metrics):
                results = await self._env.run_calls(text, calls, self._episode)
            if self._episode.seconds_left() == 0:
                return self._episode.end_by("seconds")
            if not self._answer(text, calls, [result.text for result in results]):
                return self._episode.end_by("tokens")
            self._tool_turns += 1

    def output(self) -> AgentLoopOutput:
        """The trajectory for verl."""
        transcript, counters = self._transcript, self._episode.counters
        if not transcript.response_ids:  # an aborted request: verl needs a token to put the reward on
            transcript.add_tool([self._loop.tokenizer.eos_token_id])
        num_turns = 1 + int(counters["model_turns"]) + self._tool_turns
        counters["response_tokens"] = float(len(transcript.response_ids))
        counters["model_tokens"] = float(sum(transcript.response_mask))
        masked = self._shop.masks.hides(counters, can_drop=not is_old(self._loop))
        counters["masked"] = float(masked)
        runs = segments(transcript.response_ids, transcript.response_mask)
        decoded = [(by_model, len(ids), self._decode(ids)) for by_model, ids in runs]
        fields = {
            **self._fields,
            **{name: value for name, value in counters.items() if name != "num_turns"},
            **turns_for_the_reward(self._loop, num_turns),
            "model_text": "\n".join(text for by_model, _, text in decoded if by_model),
            SEGMENTS: decoded,
            "call_seconds": self._episode.call_seconds,
            "turn_scores": [],
            "tool_rewards": [],
        }
        return AgentLoopOutput(
            prompt_ids=transcript.prompt_ids,
            response_ids=transcript.response_ids,
            response_mask=[0] * len(transcript.response_mask) if masked else transcript.response_mask,
            response_logprobs=self._logprobs(),
            num_turns=num_turns,
            metrics=self._metrics,
            routed_experts=self._experts,
            extra_fields=fields,
        )

    def _logprobs(self) -> list[float] | None:
        """One for each token of the response, also of a first request that was aborted: verl stacks them."""
        found = self._transcript.logprobs
        if found or not self._sampling.get("logprobs"):
            return found or None
        return [0.0] * len(self._transcript.response_ids)

    async def _prompt(self) -> list[int]:
        if hasattr(self._loop, "ct_build_initial_tokens"):  # verl 0.9.1; it keeps to the prompt length, too
            ids: list[int] = await self._loop.ct_build_initial_tokens(self._messages, tools=self._schemas)
            return ids
        return list(self._shop.builder.build_initial_tokens(self._messages, tools=self._schemas))

    async def _generate(self) -> tuple[str, bool]:
        """One turn of the model: its text, and whether it ended by itself."""
        room = self._transcript.room
        with simple_timer("generate_sequences", self._metrics):
            output = await self._loop.server_manager.generate(
                request_id=self._episode.session.id,
                prompt_ids=self._transcript.ids,
                sampling_params={**self._sampling, **token_limit(self._loop, room)},
            )
        self._note(output)
        eos = self._loop.tokenizer.eos_token_id
        ids = list(output.token_ids)[:room]
        kept = self._env.process_responses_ids(ids, self._decode, eos)
        self._transcript.add_model(ids[:kept], list(output.log_probs)[:kept] if output.log_probs else None)
        text = self._decode(ids[:kept])
        if getattr(output, "stop_reason", None) in ("aborted", "abort"):
            self._episode.counters["aborted"] = 1.0
        by_itself = kept < len(ids) or len(output.token_ids) < room or ids[-1] == eos
        return text, by_itself or any(stop in text for stop in self._env.stop)

    def _note(self, output: Any) -> None:
        """What verl wants to know of each request: versions of the weights, preemptions, routed experts."""
        known = getattr(output, "extra_fields", None) or {}
        if not self._fields:
            self._fields.update(known)
            known = {}
        if known.get("max_global_steps"):
            self._fields["max_global_steps"] = known["max_global_steps"]
        for key in [key for key in known if key.startswith("spec_num_")]:  # of speculative decoding: sums
            self._fields[key] = self._fields.get(key, 0) + known[key]
        preempted = getattr(output, "num_preempted", None)
        if preempted is not None:
            self._metrics["num_preempted"] = self._metrics.get("num_preempted", 0) + preempted
        experts = getattr(output, "routed_experts", None)
        self._experts = self._experts if experts is None else experts

    def _over(self, ended: bool, calls_follow: bool) -> str:
        """The budget that ends the trajectory here; empty when none does."""
        if not ended or (calls_follow and self._transcript.room <= 0):
            return "tokens"
        return self._episode.used_up(self._tool_turns) if calls_follow else ""

    def _answer(self, text: str, calls: Sequence[ParsedCall], texts: Sequence[str]) -> bool:
        """Append the tools' turn; False when no room would be left for the model."""
        if self._env.inline:
            body = self._env.format_tool_response(texts)
            added, replaced = list(self._loop.tokenizer.encode(body, add_special_tokens=False)), 0
        else:
            added, replaced = self._tool_turn(text, calls, texts)
        if len(added) - replaced >= self._transcript.room:
            return False
        self._transcript.add_tool(added, replaced)
        return True

    def _tool_turn(
        self, text: str, calls: Sequence[ParsedCall], texts: Sequence[str]
    ) -> tuple[list[int], int]:
        """Tokens of turns of role "tool", and how many tokens of the model's turn they replace."""
        own, eos = self._transcript.ids, self._loop.tokenizer.eos_token_id
        frame = self._shop.frame(self._loop.tokenizer, self._schemas)
        if frame is not None:
            closed = own if own[-1] == eos else [*own, eos]
            return [*closed[len(own) :], *frame.tokens(texts)], 0
        before = [*self._messages, {"role": "assistant", "content": text, "tool_calls": _as_messages(calls)}]
        self._messages = [*before, *({"role": "tool", "content": answer} for answer in texts)]
        merge = partial(self._shop.builder.merge_context_tokens, before, self._messages, tools=self._schemas)
        merged = merge(own)
        if own[-1] != eos and not merged.removed_prefix_token_count:
            merged = merge([*own, eos])  # a stop string ended the turn before the model could
        replaced = merged.removed_prefix_token_count
        return merged.token_ids[len(own) - replaced :], replaced


def _as_messages(calls: Sequence[ParsedCall]) -> list[dict[str, Any]]:
    """The calls of a turn for a chat template; only their number and names can matter to a tool's turn."""
    return [
        {"type": "function", "function": {"name": call.name or "unknown", "arguments": call.arguments or {}}}
        for call in calls
    ]
