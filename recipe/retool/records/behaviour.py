"""How a policy uses its tools: figures of a set of trajectories, of training or of validation.

Names and meanings stand in docs/metrics.rst. A figure whose denominator is zero, or whose counters no
trajectory has, is left out: a run without tool calls has no code pass rate, which is not a rate of 0.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from recipe.retool.reward.values import as_number

Row = Mapping[str, Any]
CALL_SECONDS = "call_seconds"  # seconds of each call of a trajectory, a list
PREFIX = "retool/"

# Not "invocation_timing", "..._total": verl chooses by parts of a name (min, max, sum, total) how it
# aggregates the updates of one step, and all of these are to be averaged (MetricsAggregator).
_SHARES = {  # trajectories in which the counter is not zero
    "tool_call_rate": "tool_calls",
    "truncated_rate": "truncated",
    "truncated_by_tokens_rate": "over_tokens",
    "truncated_by_turns_rate": "over_turns",
    "truncated_by_calls_rate": "over_calls",
    "truncated_by_seconds_rate": "over_seconds",
    "masked_rate": "masked",
}
_MEANS = {
    "accuracy": "acc",
    "calls_per_response": "tool_calls",
    "turns_per_response": "model_turns",
    "response_tokens": "response_tokens",
    "model_tokens": "model_tokens",
}
_RAN = ("tool_calls",)
_ANSWERED = ("tool_calls", "-sandbox_unavailable")
_ATTEMPTED = ("tool_calls", "tool_malformed", "tool_unknown", "tool_incomplete", "tool_not_run")
_UNREADABLE = ("tool_malformed", "tool_unknown", "tool_incomplete", "tool_bad_arguments")
_RATIOS = {  # sums over all trajectories
    "code_lines_per_call": (("code_lines",), _RAN),
    "code_pass_rate": (("tool_ok",), _ANSWERED),
    "empty_output_rate": (("tool_empty",), _RAN),
    "name_error_rate": (("tool_name_errors",), _RAN),
    "timeout_rate": (("tool_timeouts",), _RAN),
    "parse_failure_rate": (_UNREADABLE, _ATTEMPTED),
    "malformed_rate": (("tool_malformed", "tool_incomplete"), _ATTEMPTED),
    "unknown_tool_rate": (("tool_unknown",), _ATTEMPTED),
    "bad_arguments_rate": (("tool_bad_arguments",), _ATTEMPTED),
    "void_turn_rate": (("void_turns",), ("model_turns",)),
}
_QUANTILES = {"call_seconds_p50": 0.5, "call_seconds_p95": 0.95}

NAMES = tuple(
    PREFIX + name
    for name in (
        *_MEANS,
        *_SHARES,
        *_RATIOS,
        *("code_pass_rate_right", "code_pass_rate_wrong", "code_start"),
        *("sandbox_unavailable_rate", "dropped_rate", "dropped"),
        *_QUANTILES,
    )
)


def behaviour(rows: Sequence[Row], dropped: Sequence[Row] = ()) -> dict[str, float]:
    """Figures of trajectories, by the names of :data:`NAMES`.

    Args:
        rows: What the policy is trained on, or a validation dump. Each row has ``acc`` and counters
            (``recipe.retool.env.counters``); what a row lacks, or has as None, it takes no part in.
        dropped: Trajectories that were taken out of the batch. They count for ``dropped``, ``dropped_rate``
            and ``sandbox_unavailable_rate`` alone.

    Returns:
        Finite numbers only.
    """
    found: dict[str, float | None] = {}
    for name, key in _MEANS.items():
        found[name] = _mean([value for row in rows if (value := as_number(row.get(key))) is not None])
    for name, key in _SHARES.items():
        found[name] = _share(rows, key)
    for name, (top, bottom) in _RATIOS.items():
        found[name] = _ratio(rows, top, bottom)
    for name, wanted in (("right", 1.0), ("wrong", 0.0)):
        part = [row for row in rows if as_number(row.get("acc")) == wanted]
        found[f"code_pass_rate_{name}"] = _ratio(part, *_RATIOS["code_pass_rate"])
    found["code_start"] = _code_start(rows)
    found |= _infrastructure(rows, dropped)
    seconds = sorted(second for row in rows for second in _seconds(row))
    for name, share in _QUANTILES.items():
        found[name] = _quantile(seconds, share)
    return {PREFIX + name: value for name, value in found.items() if value is not None}


def _infrastructure(rows: Sequence[Row], dropped: Sequence[Row]) -> dict[str, float | None]:
    everything = [*rows, *dropped]
    return {
        "sandbox_unavailable_rate": _share(everything, "sandbox_unavailable"),
        "dropped": float(len(dropped)) if everything else None,
        "dropped_rate": len(dropped) / len(everything) if everything else None,
    }


def _code_start(rows: Sequence[Row]) -> float | None:
    """Mean of where the first call begins, as a share of what the model wrote; 0 is the very start."""
    shares = []
    for row in rows:
        calls, start, length = (
            as_number(row.get(key)) for key in ("tool_calls", "first_call_chars", "model_chars")
        )
        if calls and length and start is not None:
            shares.append(start / length)
    return _mean(shares)


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _share(rows: Sequence[Row], key: str) -> float | None:
    return _mean([float(value > 0) for row in rows if (value := as_number(row.get(key))) is not None])


def _ratio(rows: Sequence[Row], top: Sequence[str], bottom: Sequence[str]) -> float | None:
    pairs = [(_sum(row, top), _sum(row, bottom)) for row in rows]
    whole = [(above, below) for above, below in pairs if above is not None and below is not None]
    total = math.fsum(below for _, below in whole)
    return math.fsum(above for above, _ in whole) / total if total > 0 else None


def _sum(row: Row, keys: Sequence[str]) -> float | None:
    """Sum of counters; one with a leading minus is taken off. None when the row lacks one of them."""
    total = 0.0
    for key in keys:
        value = as_number(row.get(key.removeprefix("-")))
        if value is None:
            return None
        total += -value if key.startswith("-") else value
    return total


def _seconds(row: Row) -> list[float]:
    listed = row.get(CALL_SECONDS)
    values = listed if isinstance(listed, (list, tuple)) else ()
    return [second for value in values if (second := as_number(value)) is not None]


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least ``share`` of the values do not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else None
