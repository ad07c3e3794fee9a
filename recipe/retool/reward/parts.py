"""The reward functions of the recipe: pure functions of a trajectory's facts.

Each takes the facts and, by keyword, its parameters, and returns a finite float. A parameter that makes no
sense is a ConfigError that begins with its name; the mix finds it before training, on trajectories of its
own.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from recipe.retool.errors import ConfigError
from recipe.retool.reward.facts import Facts

CORRECT = 1.0
WRONG = -1.0
BUFFER_SHARE = 5  # DAPO: 4,096 tokens of 20,480


class RewardFunction(Protocol):
    """Facts to a number; parameters are keyword arguments."""

    def __call__(self, facts: Facts, /) -> float: ...


def correctness(facts: Facts) -> float:
    """1 for a right answer, else 0. Range {0, 1}; the accuracy itself."""
    return float(facts.correct)


def outcome(facts: Facts) -> float:
    """+1 for a right answer, else -1. Range {-1, 1}; ReTool (arXiv 2504.11536), section 2.3."""
    return CORRECT if facts.correct else WRONG


def tool_bonus(facts: Facts, *, per_turn: float = 0.1, cap: float = -0.6) -> float:
    """``min(cap, -1 + per_turn * tool turns) + 1`` for a wrong answer, 0 for a right one.

    Range [0, cap + 1]: with ``outcome`` a wrong answer scores at most ``cap``. Source: verl-recipe,
    ``recipe/retool/retool.py``. It pays for any turn, useful or not.

    Args:
        facts: The trajectory.
        per_turn: Bonus for each tool turn, not negative.
        cap: Best score of a wrong answer together with ``outcome``, in [-1, 1).
    """
    _check(per_turn >= 0, f"per_turn = {per_turn} must not be negative")
    _check(WRONG <= cap < CORRECT, f"cap = {cap} must lie in [-1, 1)")
    return 0.0 if facts.correct else min(cap, WRONG + per_turn * facts.tool_turns) - WRONG


def boxed_format(facts: Facts) -> float:
    """1 when the answer stands in a closed box, else 0. Range {0, 1}.

    A format reward as in DeepSeek-R1 (arXiv 2501.12948, section 2.2.2), for this recipe's answer format.
    """
    return float(facts.boxed)


def code_executed(facts: Facts, *, any_call: bool = False) -> float:
    """Share of the calls that ran without an error; 0 without calls. Range [0, 1].

    Calls that the sandbox did not answer are left out. The share is the code pass rate that ReTool
    (arXiv 2504.11536) measures, of one trajectory.

    Args:
        facts: The trajectory.
        any_call: 1 as soon as one call ran without an error, instead of the share.
    """
    good = facts.counters["tool_ok"]
    if any_call:
        return float(good > 0)
    answered = facts.counters["tool_calls"] - facts.counters["sandbox_unavailable"]
    return min(1.0, good / answered) if answered > 0 and good > 0 else 0.0


def length(facts: Facts, *, free: int = 0) -> float:
    """``-(tokens - free) / (max_response_length - free)``, between -1 and 0: a linear price of length.

    Counts the tokens that the model wrote: a long tool output is not its fault. Range [-1, 0]. Plain and
    per trajectory, unlike the length reward of Kimi k1.5 (arXiv 2501.12599), which compares a group.

    Args:
        facts: The trajectory.
        free: Tokens that cost nothing, fewer than ``max_response_length``.
    """
    limit = _limit(facts)
    _check(0 <= free < limit, f"free = {free} must lie in [0, max_response_length = {limit})")
    return -min(1.0, max(0.0, (facts.model_tokens - free) / (limit - free)))


def overlong(facts: Facts, *, buffer: int = 0, factor: float = 1.0) -> float:
    """DAPO's soft overlong punishment (arXiv 2503.14476, equation 13), times ``factor``.

    With n response tokens, tool tokens included, and L = ``max_response_length``: 0 while n <= L - buffer,
    ``((L - buffer) - n) / buffer`` up to L, -1 beyond. Range [-factor, 0].

    Args:
        facts: The trajectory.
        buffer: Tokens before the limit in which the punishment grows; 0 takes a fifth of L, as in the paper
            (4,096 of 20,480).
        factor: Punishment at the limit, not negative.
    """
    limit = _limit(facts)
    _check(0 <= buffer <= limit, f"buffer = {buffer} must lie in [0, max_response_length = {limit}]")
    _check(factor >= 0, f"factor = {factor} must not be negative")
    span = buffer or limit / BUFFER_SHARE
    over = (facts.response_tokens - (limit - span)) / span
    return -factor * min(1.0, max(0.0, over))


BUILT_IN: Mapping[str, RewardFunction] = MappingProxyType(
    {
        "correctness": correctness,
        "outcome": outcome,
        "tool_bonus": tool_bonus,
        "format": boxed_format,
        "code_executed": code_executed,
        "length": length,
        "overlong": overlong,
    }
)


def _limit(facts: Facts) -> int:
    _check(
        facts.max_response_length > 0,
        "max_response_length is not told: set reward_kwargs.max_response_length=${data.max_response_length}",
    )
    return facts.max_response_length


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise ConfigError(message)
