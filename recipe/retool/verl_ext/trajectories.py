"""What the sampler looks at in verl's transfer queue: the counters of finished trajectories."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recipe.retool.env.counters import COUNTERS
from recipe.retool.reward.values import as_number

Row = dict[str, Any]
_NOT_COUNTED = set(COUNTERS) - {"sandbox_unavailable"}


def group_of(key: str) -> str:
    """The prompt's uid in a trajectory's key ``{uid}_{session}_{output}``."""
    return key.split("_")[0]


def counter_row(extra_fields: Any) -> Row:
    """Counters of a trajectory: what the agent loop put into ``extra_fields`` and what the reward returned.

    Args:
        extra_fields: A dict, or verl's NonTensorData around one.

    Returns:
        One flat row; the reward's value wins. Empty when there is nothing to read. The reward returns all
        counters, 0 for those that nobody counted: of an agent loop that does not count (verl's own
        ``tool_agent``) the row has that of outages alone.
    """
    fields = getattr(extra_fields, "data", extra_fields)
    if not isinstance(fields, dict):
        return {}
    scored = fields.get("reward_extra_info")
    if not isinstance(scored, dict):
        return dict(fields)
    if "tool_calls" not in fields:
        scored = {key: value for key, value in scored.items() if key not in _NOT_COUNTED}
    return {**fields, **scored}


def read_rows(keys: Sequence[str], partition: str) -> dict[str, Row]:
    """Rows of trajectories by key, out of verl's transfer queue."""
    import transfer_queue as tq

    if not keys:
        return {}
    data = tq.kv_batch_get(keys=list(keys), partition_id=partition, select_fields=["extra_fields"])
    return {key: counter_row(fields) for key, fields in zip(keys, data["extra_fields"], strict=True)}


def unusable(rows: Mapping[str, Row], group_baseline: bool = True) -> set[str]:
    """Keys of trajectories that the sandbox left without an answer, and of those left alone in their group.

    With a ``group_baseline``, a trajectory that was one of several and is the last of its group has none any
    more: verl's GRPO gives a group of one its bare score as the advantage. A critic needs no group.
    """
    groups: dict[str, set[str]] = defaultdict(set)
    for key in rows:
        groups[group_of(key)].add(key)
    out: set[str] = set()
    for keys in groups.values():
        hit = {key for key in keys if (as_number(rows[key].get("sandbox_unavailable")) or 0.0) > 0}
        out |= keys if group_baseline and hit and len(keys - hit) <= 1 else hit
    return out


def groups_of(keys: Iterable[str]) -> set[str]:
    """The groups of trajectory keys."""
    return {group_of(key) for key in keys}
