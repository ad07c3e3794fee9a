"""Which trajectories are not trained on: the node ``retool.masks`` of a config."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from recipe.retool.errors import ConfigError

KEEP, MASK, DROP = "keep", "mask", "drop"
UNAVAILABLE_CHOICES = (DROP, MASK, KEEP)


@dataclass(frozen=True)
class MaskOptions:
    """What becomes of trajectories that say little about the policy.

    Attributes:
        truncated: Mask trajectories that a budget ended (DAPO's overlong filtering, arXiv 2503.14476).
        void_turns: Mask trajectories with a void turn (SimpleTIR, arXiv 2509.02479).
        unavailable: A trajectory with a call that the sandbox did not answer: ``drop`` takes it out of the
            batch, group baselines then do without it; ``mask`` keeps its reward in the baseline and trains
            on none of its tokens; ``keep`` treats it like any other.
    """

    truncated: bool = False
    void_turns: bool = False
    unavailable: str = DROP

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "MaskOptions":
        """Read ``retool.masks``; ConfigError names the key that is unknown or has a wrong value."""
        given = dict(config or {})
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(map(str, given)) - set(known))
        if unknown:
            raise ConfigError(f"retool.masks: unknown key {unknown[0]!r}; known: {', '.join(known)}")
        for key in ("truncated", "void_turns"):
            if not isinstance(given.get(key, False), bool):
                raise ConfigError(f"retool.masks.{key}={given[key]!r} must be true or false")
        if given.get("unavailable", DROP) not in UNAVAILABLE_CHOICES:
            choices = ", ".join(UNAVAILABLE_CHOICES)
            raise ConfigError(f"retool.masks.unavailable={given['unavailable']!r} must be one of {choices}")
        return cls(**given)
