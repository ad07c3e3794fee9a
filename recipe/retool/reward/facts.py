"""What is known of one trajectory: all that a reward function sees."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from recipe.retool.env.counters import COUNTERS
from recipe.retool.reward.values import as_number

TURNS_PER_TOOL_TURN = 2  # verl counts the tool's turn and the model's next turn
TURNS_WITHOUT_TOOL = 2  # the prompt and one model turn


@dataclass(frozen=True)
class Facts:
    """One trajectory, scored.

    Attributes:
        correct: The answer equals the gold answer.
        boxed: The answer stands in a closed box.
        tool_turns: Number of tool turns, not negative.
        max_response_length: Most tokens of a response (``data.max_response_length``); 0 when not told.
        counters: Every counter of ``recipe.retool.env.counters.COUNTERS``; read-only, 0 where nobody counted.
        text_refused: The model's words could not be told from a tool's, so nothing was scored.
        text: What the model wrote; empty when refused.
        answer: The answer in one spelling; empty without one.
        gold: The gold answer in the same spelling; empty when unusable.
        data_source: Name of the data set.
    """

    correct: bool
    boxed: bool = False
    tool_turns: float = 0.0
    max_response_length: int = 0
    counters: Mapping[str, float] = field(default_factory=lambda: counters_of({}))
    text_refused: bool = False
    text: str = ""
    answer: str = ""
    gold: str = ""
    data_source: str = ""

    @property
    def response_tokens(self) -> float:
        """Tokens of the response, tool tokens included."""
        return self.counters["response_tokens"]

    @property
    def model_tokens(self) -> float:
        """Tokens that the model wrote; all of the response where the two are not counted apart."""
        return self.counters["model_tokens"] or self.response_tokens

    @property
    def truncated(self) -> bool:
        """A budget ended the trajectory."""
        return self.counters["truncated"] > 0

    @property
    def void_turns(self) -> float:
        """Turns with neither a whole call nor an answer."""
        return self.counters["void_turns"]

    @property
    def infra_failure(self) -> bool:
        """The sandbox did not answer a call: not the model's fault."""
        return self.counters["sandbox_unavailable"] > 0


def counters_of(info: Mapping[str, Any]) -> Mapping[str, float]:
    """All counters, each a finite float: 0 where ``info`` lacks it or holds no number."""
    return MappingProxyType({key: (as_number(info[key]) or 0.0) if key in info else 0.0 for key in COUNTERS})


def tool_turns(info: Mapping[str, Any]) -> float:
    """Return the number of tool turns from verl's ``num_turns``, or else the loop's ``tool_calls``, or 0."""
    turns = as_number(info.get("num_turns"))
    if turns is not None:
        return max(0.0, (turns - TURNS_WITHOUT_TOOL) / TURNS_PER_TOOL_TURN)
    return max(0.0, as_number(info.get("tool_calls")) or 0.0)
