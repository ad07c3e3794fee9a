"""A run whose first steps never call a tool is stopped: it would train text alone, in silence.

That happens (verl#3257: ReTool with verl 0.5 trained on without one call and without an error), and costs
days before somebody looks at the right figure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recipe.retool.env.settings import refuse_unknown
from recipe.retool.env.text import TextEnv
from recipe.retool.errors import ConfigError, StageError
from recipe.retool.reward.values import as_number

TEXT_ENV = TextEnv.name  # the environment without tools
_UNRUN = {
    "tool_malformed": "malformed",
    "tool_incomplete": "incomplete",
    "tool_unknown": "of unknown tools",
    "tool_not_run": "over a limit",
}


@dataclass(frozen=True)
class AlarmOptions:
    """The node ``retool.alarm`` of a config.

    Attributes:
        no_tool_steps: So many first steps without one tool call end a run; 0 never does.
    """

    no_tool_steps: int = 3

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "AlarmOptions":
        """Read ``retool.alarm``; ConfigError names the key that is unknown or has a wrong value."""
        given = dict(config or {})
        refuse_unknown("retool.alarm", given, ("no_tool_steps",))
        steps = given.get("no_tool_steps", 0)
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 0:
            raise ConfigError(
                f"retool.alarm.no_tool_steps={steps!r} must be a whole number from 0 (0: no alarm)"
            )
        return cls(**given)


class NoToolAlarm:
    """Counts the first steps of a process without a tool call.

    Args:
        options: How many are too many.
        environment: Name of the environment; the one without tools is never alarmed about.
    """

    def __init__(self, options: AlarmOptions, environment: str) -> None:
        self._left = 0 if environment == TEXT_ENV else options.no_tool_steps
        self._steps = 0
        self._trajectories = 0
        self._unrun = dict.fromkeys(_UNRUN, 0.0)

    def observe(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Look at the trajectories of one step; rows without the counter ``tool_calls`` say nothing.

        Raises:
            StageError: The last step of the allowed number passed without a call.
        """
        calls = [value for row in rows if (value := as_number(row.get("tool_calls"))) is not None]
        if not calls or self._left == 0:
            return
        if any(calls):
            self._left = 0  # tools are used: what becomes of that later is what metrics are for
            return
        self._steps += 1
        self._trajectories += len(calls)
        for key in self._unrun:
            self._unrun[key] += sum(as_number(row.get(key)) or 0.0 for row in rows)
        if self._steps >= self._left:
            raise StageError(self._explanation())

    def _explanation(self) -> str:
        tried = [f"{self._unrun[key]:.0f} {words}" for key, words in _UNRUN.items() if self._unrun[key]]
        return (
            f"no tool call was run in the first {self._steps} steps ({self._trajectories} trajectories; "
            f"calls that could not be run: {', '.join(tried) or 'none'}). Check that the prompt announces "
            "the tool (`input` in rollouts/1.jsonl; the chat template must show tools), that the column "
            "agent_name of the data, or rollout.agent.default_agent_loop, names retool_agent, that "
            "model.path is the merged SFT checkpoint, and that the model calls in the format of "
            "retool.env.name. To train on all the same: retool.alarm.no_tool_steps=0"
        )
