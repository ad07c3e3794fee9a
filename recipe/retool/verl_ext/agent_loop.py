"""verl's tool agent loop plus what the reward and the metrics need to know of a trajectory.

The loop itself (turns, token in token out, masks) is verl's own ``ToolAgentLoop``. Added here:

* ``model_text``: the decoded tokens with ``response_mask == 1``, turns joined by newlines. The reward
  scores this and nothing else, so that an answer printed by the tool earns nothing.
* counters of the tool calls, the same keys for every trajectory.
"""

from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.tool_agent_loop import ToolAgentLoop

from recipe.retool.verl_ext.bridge import fields_of, trajectory, turns_for_the_reward
from recipe.retool.verl_ext.tool import STATS_FIELD, new_stats

CALL_TAG = "<tool_call>"


class ReToolAgentLoop(ToolAgentLoop):
    """``agent_name: retool_agent`` (configs/agent/retool_agent.yaml)."""

    async def run(self, sampling_params: dict[str, Any], **kwargs: Any) -> AgentLoopOutput:
        """One trajectory; see ``ToolAgentLoop.run`` (verl/experimental/agent_loop/tool_agent_loop.py)."""
        with trajectory({}) as own:
            output = await super().run(sampling_params, **kwargs)
        turns = [self.tokenizer.decode(ids) for ids in model_turns(output.response_ids, output.response_mask)]
        stats = output.extra_fields.pop(STATS_FIELD, None) or own.get(STATS_FIELD) or new_stats()
        fields = trajectory_fields("\n".join(turns), stats, len(output.response_ids), self.response_length)
        output.extra_fields.update({**fields, **turns_for_the_reward(self, output)})
        return output

    async def _call_tool(self, tool_call: Any, tools_kwargs: dict[str, Any], *more: Any) -> Any:
        """Count a call of a tool that does not exist; verl answers it with a text to the model."""
        fields = fields_of(more[0] if more else None)
        if tool_call.name not in self.tools and fields is not None:
            fields.setdefault(STATS_FIELD, new_stats())["unknown"] += 1
        return await super()._call_tool(tool_call, tools_kwargs, *more)


def model_turns(ids: list[int], mask: list[int]) -> list[list[int]]:
    """Split the response into runs of model tokens (mask 1), in order; tool tokens are left out."""
    turns: list[list[int]] = []
    previous = 0
    for token, trained in zip(ids, mask, strict=True):
        if trained and not previous:
            turns.append([])
        if trained:
            turns[-1].append(token)
        previous = trained
    return turns


def trajectory_fields(model_text: str, stats: dict[str, Any], tokens: int, limit: int) -> dict[str, Any]:
    """The extra fields of one trajectory: the same keys and types whatever happened.

    The keys are ``model_text`` and those of ``recipe.retool.env.counters.COUNTERS`` that are counted here.

    Args:
        model_text: What the model wrote.
        stats: Counters of the tool (``recipe.retool.verl_ext.tool.new_stats``).
        tokens: Length of the response in tokens, tool tokens included.
        limit: ``data.max_response_length``.
    """
    errors = stats["errors"] + stats["timeouts"] + stats["bad_arguments"]
    handled = stats["calls"] + stats["unknown"]
    return {
        "model_text": model_text,
        "response_tokens": float(tokens),
        "tool_calls": float(stats["calls"]),
        "tool_ok": float(stats["ok"]),
        "tool_errors": float(errors),
        "tool_timeouts": float(stats["timeouts"]),
        "tool_bad_arguments": float(stats["bad_arguments"]),
        "tool_unknown": float(stats["unknown"]),
        # Malformed calls, calls beyond max_parallel_calls, and a last call that the turn limit cut off.
        "tool_not_run": float(max(0, model_text.count(CALL_TAG) - handled)),
        "sandbox_unavailable": float(stats["unavailable"]),
        "code_lines": float(stats["code_lines"]),
        "tool_seconds": float(stats["seconds"]),
        "truncated": float(tokens >= limit),
    }
