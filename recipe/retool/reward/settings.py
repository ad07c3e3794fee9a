"""Keys of ``reward.custom_reward_function.reward_kwargs`` (verl 0.6: without ``reward.``)."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.reward import equality
from recipe.retool.reward.mix import DEFAULT_PARTS, Mix, mix_of
from recipe.retool.reward.values import as_number

_FROM_VERL = frozenset({"reward_router_address", "reward_model_tokenizer"})
_RENAMED = {"tool_bonus": "parts.tool_bonus.per_turn", "wrong_cap": "parts.tool_bonus.cap"}
_LEAST = {"answer_workers": 1, "max_response_length": 0}


@dataclass(frozen=True)
class RewardSettings:
    """Settings of the reward.

    Attributes:
        parts: What the score is made of.
        max_response_length: Most tokens of a response, for the parts that need it; 0 when not told.
        answer_timeout: Seconds for one symbolic comparison.
        answer_workers: math-verify processes for each scoring process.
    """

    parts: Mix
    max_response_length: int = 0
    answer_timeout: float = equality.TIME_LIMIT
    answer_workers: int = equality.WORKERS

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any], strict: bool = False) -> "RewardSettings":
        """Build from keyword arguments; cheap enough for every sample.

        Args:
            kwargs: ``reward_kwargs`` of the configuration, plus whatever verl adds.
            strict: Refuse unknown keys (for a check before training; verl adds keys of its own later).

        Raises:
            ConfigError: A value is out of range, a key has a new name, or one is unknown and ``strict`` is
                set.
        """
        known = {field.name for field in fields(cls)}
        for old, new in _RENAMED.items():
            if old in kwargs:
                raise ConfigError(f"reward_kwargs.{old} has a new name: write reward_kwargs.{new}")
        unknown = sorted(set(kwargs) - known - _FROM_VERL)
        if strict and unknown:
            raise ConfigError(f"reward_kwargs: unknown key {unknown[0]!r}; known: {', '.join(sorted(known))}")
        given = {key: _setting(key, kwargs[key]) for key in (known & set(kwargs)) - {"parts"}}
        mix = mix_of(kwargs.get("parts", DEFAULT_PARTS), given.get("max_response_length", 0), fresh=strict)
        return cls(parts=mix, **given)


def _setting(key: str, value: Any) -> Any:
    number = as_number(value)
    if number is None or isinstance(value, bool):
        raise ConfigError(f"reward_kwargs.{key} = {value!r} is not a number")
    if key == "answer_timeout":
        if number <= 0:
            raise ConfigError(f"reward_kwargs.{key} = {value!r} must be positive seconds")
        return number
    least = _LEAST[key]
    if not number.is_integer() or number < least:
        raise ConfigError(f"reward_kwargs.{key} = {value!r} must be a whole number from {least}")
    return int(number)
