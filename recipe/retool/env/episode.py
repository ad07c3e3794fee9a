"""One trajectory as its environment sees it: budgets, counters, and what tools keep for it."""

import time
from dataclasses import dataclass, field

from recipe.retool.env.calls import NOT_RUN, ParsedCall, Session, ToolResult, Tools
from recipe.retool.env.counters import new_counters
from recipe.retool.env.settings import Budget
from recipe.retool.reward.answer import extract

_PROBLEMS = ("malformed", "incomplete", "unknown", NOT_RUN)


@dataclass
class Episode:
    """The state of one trajectory.

    Attributes:
        tools: The tools that this trajectory may call, by name.
        budget: Its limits.
        session: What its tools hold.
        counters: See ``recipe.retool.env.counters``.
        call_seconds: Seconds of each call that was run, in order.
        started: ``time.monotonic()`` at its begin.
    """

    tools: Tools
    budget: Budget = field(default_factory=Budget)
    session: Session = field(default_factory=Session)
    counters: dict[str, float] = field(default_factory=new_counters)
    call_seconds: list[float] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def seconds_left(self) -> float | None:
        """Seconds until the wall clock ends it; None without such a limit."""
        if not self.budget.seconds:
            return None
        return max(0.0, self.started + self.budget.seconds - time.monotonic())

    def calls_left(self) -> float:
        """Calls that may still be run."""
        return self.budget.calls - self.counters["tool_calls"] if self.budget.calls else float("inf")

    def used_up(self, tool_turns: int) -> str:
        """The budget that lets no call of this turn run, so many tool turns being behind; empty when none."""
        turns = self.budget.turns and self.counters["model_turns"] >= self.budget.turns
        if turns or (self.budget.tool_turns and tool_turns >= self.budget.tool_turns):
            return "turns"
        if self.calls_left() <= 0:
            return "calls"
        return "seconds" if self.seconds_left() == 0 else ""

    def add_turn(self, text: str, calls: list[ParsedCall]) -> None:
        """Count a turn of the model, before its calls are run."""
        self.counters["model_turns"] += 1
        self.counters["model_chars"] += len(text)
        if all(call.problem for call in calls) and not extract(text).text and not self.counters["aborted"]:
            self.counters["void_turns"] += 1

    def add_result(self, call: ParsedCall, result: ToolResult, turn_text: str) -> None:
        """Count a call of the last turn and what came of it."""
        counters, before = self.counters, self.counters["tool_calls"]
        count_result(counters, result)
        if counters["tool_calls"] == before:
            return
        if not before:
            counters["first_call_chars"] = counters["model_chars"] - len(turn_text) + call.start
        self.call_seconds.append(result.seconds)

    def end_by(self, budget: str) -> None:
        """Note that ``over_<budget>`` ended it."""
        self.counters["truncated"] = self.counters[f"over_{budget}"] = 1.0


def count_result(counters: dict[str, float], result: ToolResult) -> None:
    """Add what came of one call to the counters of its trajectory."""
    kind = result.kind.split(":")[0]
    if kind in _PROBLEMS:
        counters[f"tool_{kind}"] += 1
        return
    counters["tool_calls"] += 1
    counters["code_lines"] += result.code_lines
    counters["tool_seconds"] += result.seconds
    if kind == "ok":
        counters["tool_ok"] += 1
    elif kind == "unavailable":
        counters["sandbox_unavailable"] += 1
    else:
        counters["tool_errors"] += 1
    counters["tool_timeouts"] += kind == "timeout"
    counters["tool_bad_arguments"] += kind == "bad_arguments"
    counters["tool_name_errors"] += result.error == "NameError"
    counters["tool_empty"] += result.empty
