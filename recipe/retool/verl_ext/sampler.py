"""The sampler between rollout and training: metrics of every rollout, dropping, dynamic sampling, the alarm.

verl's V1 trainer takes its batches from a replay buffer (verl/trainer/ppo/v1/replay_buffer.py) and logs what
``sample`` returns beside the batch. A custom buffer gets none of verl's arguments for DAPO's group filter
(``_build_replay_buffer`` in trainer_base.py), so they come through ``sampler_kwargs`` here.
"""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import transfer_queue as tq
from omegaconf import DictConfig
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, ReplayBufferAsync

from recipe.retool.env.settings import DROP
from recipe.retool.errors import SandboxError, StageError
from recipe.retool.records.alarm import NoToolAlarm
from recipe.retool.records.behaviour import behaviour
from recipe.retool.records.dump import write_counters
from recipe.retool.reward.values import as_number
from recipe.retool.verl_ext.group_budget import GroupBudget
from recipe.retool.verl_ext.plain import plain
from recipe.retool.verl_ext.sampler_settings import SamplerSettings
from recipe.retool.verl_ext.trajectories import Row, group_of, groups_of, read_rows, unusable
from recipe.retool.verl_ext.turn_mismatch import install_turn_mismatch

logger = logging.getLogger(__name__)
VALIDATION = "val"  # verl's name of the other partition
_TRIES = 3  # batches of which no token is trained on, one after the other


def replay_buffer(trainer_mode: str, **kwargs: Any) -> ReplayBuffer:
    """``trainer.v1.sampler.custom_sampler``: the buffer for verl's trainer mode."""
    # Here, because verl constructs the sampler in the trainer's process, before the first step.
    install_turn_mismatch()
    chosen = ReToolReplayBuffer if trainer_mode == "sync" else ReToolReplayBufferAsync
    return chosen(trainer_mode=trainer_mode, **kwargs)


class ReToolReplayBuffer(ReplayBuffer):
    """For ``trainer_mode: sync``; the settings are those of :class:`SamplerSettings`."""

    def __init__(self, *, sampler_kwargs: DictConfig, refill_fn: Callable[[int], Any], **kwargs: Any) -> None:
        self._settings = settings = SamplerSettings.from_kwargs(plain(sampler_kwargs))
        filtering = settings.filter_groups
        self._budget = GroupBudget(filtering.max_num_gen_batches, settings.train_batch_size)
        self._alarm = NoToolAlarm(settings.alarm, settings.environment)
        self._prompts = refill_fn
        self._looked_at: set[str] = set()
        self._rows: list[Row] = []
        self._dropped: list[Row] = []
        self._emptied: set[str] = set()
        self._without_signal = 0
        self._masked: set[str] = set()
        self._written: tuple[int, list[Row]] = (-1, [])
        exact = filtering.metric is not None or settings.sync_refill_failed_groups
        super().__init__(
            sampler_kwargs=sampler_kwargs,
            refill_fn=self._refill,
            poll_interval=settings.poll_interval,
            filter_groups_metric=filtering.metric,
            train_batch_size=settings.train_batch_size,
            gen_batch_size=1 if exact else settings.train_batch_size,
            max_inflight_gen_batches=filtering.max_inflight_gen_batches,
            sync_refill_failed_groups=settings.sync_refill_failed_groups,
            **kwargs,
        )

    def sample(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """verl's ``sample``, and the metrics of all trajectories that ended since the last one.

        Raises:
            SandboxError: Every trajectory of the batch was dropped.
            StageError: The first steps hold no tool call, or batch after batch holds nothing to train on.
        """
        if partition_id == VALIDATION:
            return super().sample(global_steps=global_steps, partition_id=partition_id, batch_size=batch_size)
        batch, metrics = self._trainable(global_steps, partition_id, batch_size)
        self._alarm.observe([*self._rows, *self._dropped])
        found = behaviour(self._rows, self._dropped)
        if self._settings.filter_groups.metric is not None:
            found["retool/generated_batches"] = self._budget.generated_batches()
            found["retool/groups_without_signal"] = float(self._without_signal)
        if self._settings.dump:
            self._dump(global_steps)
        self._rows, self._dropped, self._without_signal = [], [], 0
        self._budget.next_step()
        return batch, {**metrics, **found}

    def _trainable(self, global_steps: int, partition_id: str, batch_size: int) -> tuple[Any, dict[str, Any]]:
        """verl's ``sample``, again while ``retool.masks`` hides every token of the batch.

        verl ends in an error on such a batch: importance sampling, whitening and the loss divide by tokens.
        """
        for _ in range(_TRIES):
            batch, metrics = super().sample(
                global_steps=global_steps, partition_id=partition_id, batch_size=batch_size
            )
            if not set(batch.keys) <= self._masked:
                return batch, metrics
            logger.warning("step %d: retool.masks hides all %d trajectories", global_steps, len(batch.keys))
            tq.kv_clear(partition_id=partition_id, keys=list(batch.keys))
            self._budget.next_step()
            self._prompts(batch_size)
        masks = ("truncated", "void_turns", "sandbox_unavailable", "aborted")
        causes = [name for name in masks if any(as_number(row.get(name)) for row in self._rows)]
        raise StageError(
            f"retool.masks hid every trajectory of {_TRIES} batches in a row, so that there is nothing to "
            f"train on (counters above 0: {', '.join(causes)}). Raise "
            "data.max_response_length or multi_turn.max_assistant_turns, start from a model that calls and "
            "answers (`retool sft`), or turn the mask off: retool.masks.truncated=false, "
            "retool.masks.void_turns=false"
        )

    def _dump(self, global_steps: int) -> None:
        """Write the counters of all updates of a step: it may have several, and they share one file."""
        step, rows = self._written
        rows = [*(rows if step == global_steps else []), *self._rows, *self._dropped]
        self._written = global_steps, rows
        write_counters(self._settings.dump, global_steps, rows)

    def _terminal_eviction_reasons(self, global_steps: int, partition_id: str) -> Any:
        self._look_at_new_groups(partition_id)
        return super()._terminal_eviction_reasons(global_steps, partition_id)

    def _look_at_new_groups(self, partition_id: str) -> None:
        """Read the counters of groups that ended, and drop what an outage of the sandbox spoiled.

        Before the group filter looks: a group is to be judged by the trajectories that are trained on.
        """
        if partition_id == VALIDATION:
            return
        ended = self.finished_keys[partition_id] | self.failure_keys[partition_id]
        new = ended - self._looked_at
        self._looked_at = ended
        self._emptied &= ended
        self._masked &= self.partitions[partition_id].keys()
        if not new:
            return
        partition = self.partitions[partition_id]
        rows = read_rows([key for key in partition if group_of(key) in new], partition_id)
        drops = self._settings.masks.unavailable == DROP
        out = unusable(rows, self._settings.group_baseline) if drops else set()
        named = {key: {**row, "uid": key, "dropped": key in out} for key, row in rows.items()}
        self._rows += [row for key, row in named.items() if key not in out]
        self._dropped += [named[key] for key in sorted(out)]
        self._masked |= {key for key, row in named.items() if as_number(row.get("masked"))}
        if out:
            tq.kv_clear(partition_id=partition_id, keys=sorted(out))
        for key in out:
            del partition[key]
        emptied = groups_of(out) - groups_of(partition)
        self._emptied |= emptied
        # verl's filter refuses a group without trajectories; these count as let through.
        self._dapo_classification_cache[partition_id].update(dict.fromkeys(emptied))

    def _dapo_filtered_keys(self, partition_id: str) -> tuple[set[str], Counter[float]]:
        uids, counts = super()._dapo_filtered_keys(partition_id)
        most = self._budget.evictable(len(uids))
        if most == len(uids):
            return uids, counts
        cache = self._dapo_classification_cache[partition_id]
        chosen = sorted(uids)[:most]
        return set(chosen), Counter(cache[uid] for uid in chosen)

    def _evict_terminal_groups(self, global_steps: int, partition_id: str, eviction_reasons: Any) -> Any:
        result = super()._evict_terminal_groups(global_steps, partition_id, eviction_reasons)
        if partition_id != VALIDATION:
            self._budget.evicted += len(eviction_reasons[1])
            self._budget.failed += len(eviction_reasons[2] - eviction_reasons[1])
        return result

    def _select_prompt_uids(self, partition_id: str, sampleable_keys: set[str], batch_size: int) -> Any:
        chosen = super()._select_prompt_uids(partition_id, sampleable_keys, batch_size)
        uids, trajectories = set(chosen[0]), chosen[1]
        if partition_id == VALIDATION:
            return chosen
        if uids & self._emptied and not uids & groups_of(trajectories):
            raise SandboxError(
                "no trajectory is left of this step: the sandbox did not answer, and all trajectories of all "
                f"{len(uids)} groups were dropped. Look at the sandbox (`retool sandbox check`, sandbox.log "
                "in the run folder), then start again: the run goes on from its last checkpoint"
            )
        cache = self._dapo_classification_cache[partition_id]
        self._without_signal = sum(cache.get(uid) is not None for uid in uids)
        return chosen

    def _refill(self, prompts: int) -> None:
        allowed = self._budget.refillable(prompts)
        self._budget.refilled += allowed
        if allowed:
            self._prompts(allowed)


class ReToolReplayBufferAsync(ReToolReplayBuffer, ReplayBufferAsync):
    """For verl's asynchronous trainers, whose buffer replaces each group that it throws away at once."""

    def _refill(self, prompts: int) -> None:
        self._budget.refilled += prompts
        self._prompts(prompts)
