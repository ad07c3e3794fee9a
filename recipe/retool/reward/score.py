"""The reward of a trajectory: +1 or -1 for the answer, softened for wrong answers that used the tool.

ReTool (arXiv 2504.11536, section 2.3) rewards +1 for an answer equal to the gold answer, -1 otherwise.
verl-recipe's retool.py adds, for wrong answers only, 0.1 for each tool turn up to a score of -0.6, so
that a policy which rarely calls the tool has a slope to climb. Here both numbers are settings.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.reward import equality
from recipe.retool.reward.answer import canonical_integer, clean, extract
from recipe.retool.reward.model_text import model_text
from recipe.retool.reward.values import as_number

CORRECT_SCORE = 1.0
WRONG_SCORE = -1.0
TOOL_BONUS = 0.1  # per tool turn, wrong answers only (verl-recipe)
WRONG_CAP = -0.6  # best score of a wrong answer (verl-recipe)
TURNS_PER_TOOL_TURN = 2  # verl counts the tool's turn and the model's next turn
TURNS_WITHOUT_TOOL = 2  # the prompt and one model turn
MAX_PRED = 256  # characters kept of the answer, for logs and majority votes

# What the recipe's agent loop counts (and verl's num_turns); passed through so that verl averages them
# next to the score and writes them beside each trajectory.
LOOP_COUNTERS = (
    "num_turns",
    "response_tokens",
    "tool_calls",
    "tool_ok",
    "tool_errors",
    "tool_timeouts",
    "tool_bad_arguments",
    "tool_unknown",
    "tool_not_run",
    "sandbox_unavailable",
    "code_lines",
    "tool_seconds",
    "truncated",
)
_FROM_VERL = frozenset({"reward_router_address", "reward_model_tokenizer"})


@dataclass(frozen=True)
class RewardSettings:
    """Settings of the reward: keys of ``reward.custom_reward_function.reward_kwargs``.

    Attributes:
        tool_bonus: Added to a wrong answer's score for each tool turn; 0 is the paper's reward.
        wrong_cap: Highest score of a wrong answer; between -1 and 1, 1 excluded.
        answer_timeout: Seconds for one symbolic comparison.
        answer_workers: math-verify processes for each scoring process.
    """

    tool_bonus: float = TOOL_BONUS
    wrong_cap: float = WRONG_CAP
    answer_timeout: float = equality.TIME_LIMIT
    answer_workers: int = equality.WORKERS

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any], strict: bool = False) -> "RewardSettings":
        """Build from keyword arguments.

        Args:
            kwargs: ``reward_kwargs`` of the configuration, plus whatever verl adds.
            strict: Refuse unknown keys (for a check before training; verl adds keys of its own later).

        Raises:
            ConfigError: A value is out of range, or a key is unknown and ``strict`` is set.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(kwargs) - known - _FROM_VERL)
        if strict and unknown:
            raise ConfigError(f"reward_kwargs: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
        settings = cls(**{key: _setting(key, kwargs[key]) for key in known & set(kwargs)})
        settings._check()
        return settings

    def _check(self) -> None:
        rules = (
            ("tool_bonus", self.tool_bonus >= 0, "must not be negative"),
            ("wrong_cap", WRONG_SCORE <= self.wrong_cap < CORRECT_SCORE, "must lie in [-1, 1)"),
            ("answer_timeout", self.answer_timeout > 0, "must be positive seconds"),
            ("answer_workers", self.answer_workers >= 1, "must be a whole number from 1"),
        )
        for key, holds, rule in rules:
            if not holds:
                raise ConfigError(f"reward_kwargs.{key} = {getattr(self, key)!r} {rule}")


def compute_score(
    data_source: Any,
    solution_str: Any,
    ground_truth: Any,
    extra_info: Any = None,
    **kwargs: Any,
) -> dict[str, float | str]:
    """Score one trajectory; verl's ``reward.custom_reward_function``, safe in many threads.

    Args:
        data_source: Name of the data set; all are scored alike.
        solution_str: The decoded whole response, tool text included.
        ground_truth: The gold answer; text or a number.
        extra_info: Per-sample dict: ``model_text``, ``num_turns`` and the counters of ``LOOP_COUNTERS``.
        kwargs: Settings (see :class:`RewardSettings`) and arguments of verl that are not used.

    Returns:
        The same keys with the same types for every sample (docs/reward.rst lists them).

    Raises:
        ConfigError: A setting is out of range. No input of a sample raises.
    """
    settings = RewardSettings.from_kwargs(kwargs)
    info: Mapping[str, Any] = extra_info if isinstance(extra_info, Mapping) else {}
    said = model_text(solution_str if isinstance(solution_str, str) else "", info)
    answer = extract(said.text)
    gold = gold_text(ground_truth)
    verdict = equality.compare(answer.text, gold, settings.answer_timeout, settings.answer_workers)
    return {
        "score": trajectory_score(verdict.equal, tool_turns(info), settings),
        "acc": float(verdict.equal),
        "pred": _printable(canonical_integer(answer.text) or answer.text),
        "format_ok": float(answer.boxed),
        "answer_timeout": float(verdict.status == "timeout"),
        "answer_error": float(verdict.status in ("crashed", "unavailable")),
        "gold_unusable": float(not verdict.gold_ok),
        "text_refused": float(said.refused),
        **{key: as_number(info.get(key)) or 0.0 for key in LOOP_COUNTERS},
    }


def trajectory_score(correct: bool, turns: float, settings: RewardSettings) -> float:
    """Return the score: 1, or ``min(wrong_cap, -1 + tool_bonus * turns)`` for a wrong answer.

    Args:
        correct: Whether the answer equals the gold answer.
        turns: Number of tool turns, not negative.
        settings: ``tool_bonus`` and ``wrong_cap``.
    """
    if correct:
        return CORRECT_SCORE
    return min(settings.wrong_cap, WRONG_SCORE + settings.tool_bonus * turns)


def tool_turns(info: Mapping[str, Any]) -> float:
    """Return the number of tool turns from verl's ``num_turns``, or else the loop's ``tool_calls``, or 0."""
    turns = as_number(info.get("num_turns"))
    if turns is not None:
        return max(0.0, (turns - TURNS_WITHOUT_TOOL) / TURNS_PER_TOOL_TURN)
    return max(0.0, as_number(info.get("tool_calls")) or 0.0)


def gold_text(ground_truth: Any) -> str:
    """Return the gold answer as clean text; empty when there is none.

    A gold text that holds a box is a whole solution: its box counts. Whole floats become integers.
    """
    if isinstance(ground_truth, str):
        boxed = extract(ground_truth)
        return boxed.text if boxed.boxed else clean(ground_truth)
    number = as_number(ground_truth)
    if number is None or isinstance(ground_truth, bool):
        return ""
    try:
        return clean(str(int(ground_truth)) if number.is_integer() else repr(number))
    except Exception:  # an odd type, or more digits than Python prints
        return ""


def _setting(key: str, value: Any) -> Any:
    number = as_number(value)
    if number is None or isinstance(value, bool):
        raise ConfigError(f"reward_kwargs.{key} = {value!r} is not a number")
    if key == "answer_workers":
        return int(number) if number.is_integer() else 0  # 0 is refused by the range check
    return number


def _printable(text: str) -> str:
    """Bound the length and drop what breaks log files (control characters, lone surrogates)."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_PRED])
