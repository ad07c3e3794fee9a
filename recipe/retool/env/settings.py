"""The settings of an environment and of its budgets: the node ``retool`` of a config."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from recipe.retool.errors import ConfigError

DEFAULT_ENV = "hermes"


@dataclass(frozen=True)
class EnvSettings:
    """Settings of an environment (``retool.env``).

    Attributes:
        name: A registered environment, or ``pkg://module:Class``.
        stop: Strings that end a turn of the model; None takes the environment's own.
        instruction: Text that announces the tools, put before the question; None takes the environment's
            own, an empty text announces nothing. Environments whose chat template shows the schemas of the
            tools have none.
        max_parallel_calls: Calls of one turn that are run; further ones are answered with a refusal.
    """

    name: str = DEFAULT_ENV
    stop: tuple[str, ...] | None = None
    instruction: str | None = None
    max_parallel_calls: int = 4

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "EnvSettings":
        """Read ``retool.env``; ConfigError names the key that is unknown or has the wrong type."""
        given = _known(cls, "retool.env", config)
        stop = given.get("stop")
        if stop is not None:
            if not isinstance(stop, (list, tuple)) or not all(isinstance(text, str) for text in stop):
                raise ConfigError(
                    f"retool.env.stop={stop!r} must be a list of texts, such as '[\"</code>\"]'"
                )
            if "" in stop:
                raise ConfigError("retool.env.stop holds an empty text, which would end every turn at once")
            given["stop"] = tuple(stop)
        for key in ("name", "instruction"):
            if not isinstance(given.get(key, ""), str):
                raise ConfigError(f"retool.env.{key}={given[key]!r} must be a text")
        calls = given.get("max_parallel_calls", 1)
        if isinstance(calls, bool) or not isinstance(calls, int) or calls < 1:
            raise ConfigError(f"retool.env.max_parallel_calls={calls!r} must be a whole number from 1")
        return cls(**given)


@dataclass(frozen=True)
class Budget:
    """What one trajectory may use up; 0 means no limit (``retool.budget`` and verl's own limits).

    Attributes:
        turns: Turns of the model (verl's ``multi_turn.max_assistant_turns``).
        tool_turns: Turns in which tools answer (``multi_turn.max_user_turns``).
        calls: Tool calls.
        seconds: Wall clock from the first prompt on; looked at between turns, and it ends a call in flight.
    """

    turns: int = 0
    tool_turns: int = 0
    calls: int = 0
    seconds: float = 0.0

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any] | None, turns: int | None = None, tool_turns: int | None = None
    ) -> "Budget":
        """Read ``retool.budget``; ConfigError names the key that is unknown or not a number from 0."""
        given = _known(cls, "retool.budget", config, ("calls", "seconds"))
        for key, value in given.items():
            whole = key == "calls"
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not 0 <= value < float("inf")
            ):
                raise ConfigError(f"retool.budget.{key}={value!r} must be a number from 0 (0: no limit)")
            if whole and int(value) != value:
                raise ConfigError(f"retool.budget.{key}={value!r} must be a whole number")
        return cls(turns=turns or 0, tool_turns=tool_turns or 0, **given)


DROP, MASK, KEEP = "drop", "mask", "keep"


@dataclass(frozen=True)
class Masks:
    """Which whole trajectories are not trained on (``retool.masks``); their rewards stay in the baselines.

    Attributes:
        truncated: Those that a budget ended (DAPO's overlong filtering, arXiv 2503.14476, section 3.4).
        void_turns: Those with a turn that holds neither a whole call nor an answer (SimpleTIR, arXiv
            2509.02479).
        unavailable: Those with a call that the sandbox did not answer: ``drop`` takes them out of the batch,
            baselines included, ``mask`` trains on none of their tokens, ``keep`` does nothing. Those that the
            engine aborted are masked by ``drop``, too.
    """

    truncated: bool = False
    void_turns: bool = False
    unavailable: str = DROP

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "Masks":
        """Read ``retool.masks``; ConfigError names the key that is unknown or has the wrong type."""
        given = _known(cls, "retool.masks", config)
        for key in ("truncated", "void_turns"):
            if not isinstance(given.get(key, False), bool):
                raise ConfigError(f"retool.masks.{key}={given[key]!r} must be true or false")
        if given.get("unavailable", DROP) not in (DROP, MASK, KEEP):
            raise ConfigError(f"retool.masks.unavailable={given['unavailable']!r} must be drop, mask or keep")
        return cls(**given)

    def hides(self, counters: Mapping[str, float], can_drop: bool = True) -> bool:
        """Whether no token of a trajectory with these counters is trained on.

        Args:
            counters: See ``recipe.retool.env.counters``.
            can_drop: Whether somebody later takes trajectories out of the batch; if not, ``drop`` masks.
        """
        hit = counters["sandbox_unavailable"] > 0
        return bool(
            (self.truncated and counters["truncated"])
            or (self.void_turns and counters["void_turns"])
            or (self.unavailable != KEEP and counters["aborted"])
            or (hit and (self.unavailable == MASK or (self.unavailable == DROP and not can_drop)))
        )


def _known(
    cls: type[Any], where: str, config: Mapping[str, Any] | None, names: Sequence[str] = ()
) -> dict[str, Any]:
    known = tuple(names) or tuple(field.name for field in fields(cls))
    if config is not None and not isinstance(config, Mapping):
        raise ConfigError(f"{where}={config!r} must be a mapping with keys of: {', '.join(known)}")
    given = dict(config or {})
    refuse_unknown(where, given, known)
    return {key: value for key, value in given.items() if value is not None}


def refuse_unknown(where: str, given: Iterable[Any], known: Sequence[str]) -> None:
    """ConfigError for the first key of ``given``, in order of the alphabet, that is not ``known``."""
    unknown = sorted(set(map(str, given)) - set(known))
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
