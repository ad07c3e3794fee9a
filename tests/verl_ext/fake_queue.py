"""verl's transfer queue in a dict, and groups of trajectories to put into it."""

import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest


@dataclass
class FakeQueue:
    """One partition; ``submit`` is what verl's ``refill_fn`` does, with groups that end at once.

    Attributes:
        groups: The counters of each group's trajectories, in the order in which groups are submitted; the
            last one is repeated.
        tags: Tag by key, of prompts and trajectories.
    """

    groups: list[list[dict[str, Any]]]
    partition: str = "train"
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    submitted: int = 0

    def submit(self, prompts: int) -> None:
        for number in itertools.islice(itertools.count(self.submitted), prompts):
            uid = f"g{number:03d}"
            self.tags[uid] = {"is_prompt": True, "status": "finished", "global_steps": 1}
            for session, row in enumerate(self.groups[min(number, len(self.groups) - 1)]):
                key = f"{uid}_{session}_0"
                self.tags[key] = {"status": "success", "seq_len": 8}
                self.fields[key] = {"extra_fields": {"reward_extra_info": row}}
        self.submitted += prompts

    def trajectories(self) -> set[str]:
        return {key for key, tag in self.tags.items() if "is_prompt" not in tag}

    def kv_list(self) -> dict[str, dict[str, dict[str, Any]]]:
        return {self.partition: {key: dict(tag) for key, tag in self.tags.items()}}

    def kv_clear(self, keys: list[str], partition_id: str) -> None:
        for key in keys:
            self.tags.pop(key)
            self.fields.pop(key, None)

    def kv_batch_get(self, keys: list[str], partition_id: str, select_fields: list[str]) -> dict[str, Any]:
        return {name: [self.fields[key][name] for key in keys] for name in select_fields}

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import transfer_queue

        for name in ("kv_list", "kv_clear", "kv_batch_get"):
            monkeypatch.setattr(transfer_queue, name, getattr(self, name))
