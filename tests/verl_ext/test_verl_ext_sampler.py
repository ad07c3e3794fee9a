"""The sampler in verl's own loop: metrics, dropping, dynamic sampling, alarm."""

from pathlib import Path
from typing import Any

import pytest
from fake_queue import FakeQueue
from omegaconf import OmegaConf

from recipe.retool.errors import SandboxError, StageError
from recipe.retool.verl_ext.sampler import ReToolReplayBufferAsync, replay_buffer

CALL = {"tool_calls": 1.0, "tool_ok": 1.0, "sandbox_unavailable": 0.0}
RIGHT, WRONG = (
    {"acc": 1.0, "score": 1.0, "masked": 0.0, **CALL},
    {"acc": 0.0, "score": -1.0, "masked": 0.0, **CALL},
)
DOWN = {**WRONG, "tool_ok": 0.0, "sandbox_unavailable": 1.0}
SILENT = {**WRONG, "tool_calls": 0.0, "tool_ok": 0.0}
MASKED = {**WRONG, "truncated": 1.0, "masked": 1.0}
FILTER = {"enable": True, "metric": "acc", "max_num_gen_batches": 3, "max_inflight_gen_batches": 1}
BATCH = 4


@pytest.fixture(autouse=True)
def _own_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sampler replaces a name of verl's; put it back."""
    from verl.trainer.ppo.v1 import trainer_base

    monkeypatch.setattr(trainer_base, "calculate_debug_metrics", trainer_base.calculate_debug_metrics)


def buffer(queue: FakeQueue, mode: str = "sync", **kwargs: Any) -> Any:
    settings = {"train_batch_size": BATCH, "poll_interval": 0.01, **kwargs}
    return replay_buffer(
        trainer_mode=mode,
        trainer_config=OmegaConf.create({}),
        max_off_policy_threshold=8,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create(settings),
        refill_fn=queue.submit,
    )


def step(queue: FakeQueue, sampler: Any, partition: str = "train") -> tuple[Any, dict[str, Any]]:
    queue.submit(BATCH)
    result: tuple[Any, dict[str, Any]] = sampler.sample(
        global_steps=1, partition_id=partition, batch_size=BATCH
    )
    return result


@pytest.fixture
def queue(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeQueue:
    made = FakeQueue(request.param)
    made.install(monkeypatch)
    return made


def groups(*made: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("queue", [list(made)], indirect=True, ids=["groups"])


@groups([RIGHT, WRONG])
@pytest.mark.parametrize("mode", ["sync", "colocate_async"])
def test_a_step_has_the_figures_of_its_trajectories(queue: FakeQueue, mode: str) -> None:
    batch, metrics = step(queue, buffer(queue, mode))
    assert len(batch.keys) == 2 * BATCH
    assert metrics["retool/accuracy"] == 0.5
    assert metrics["retool/dropped"] == 0.0


@groups([RIGHT, RIGHT], [RIGHT, RIGHT], [RIGHT, RIGHT], [RIGHT, RIGHT], [WRONG, WRONG])
def test_each_trajectory_counts_in_one_step(queue: FakeQueue) -> None:
    sampler = buffer(queue)
    assert step(queue, sampler)[1]["retool/accuracy"] == 1.0
    queue.kv_clear(sorted(queue.tags), "train")  # verl, after the step
    assert step(queue, sampler)[1]["retool/accuracy"] == 0.0


@groups([RIGHT, WRONG])
def test_verl_averages_every_figure_over_the_updates_of_a_step(queue: FakeQueue) -> None:
    from verl.trainer.ppo.v1.utils import MetricsAggregator

    from recipe.retool.records.behaviour import NAMES

    kinds = {name: MetricsAggregator()._get_aggregation_type(name) for name in NAMES}
    assert set(kinds.values()) == {"weighted_avg"}, kinds


@groups([RIGHT, WRONG, DOWN])
@pytest.mark.parametrize("mode", ["sync", "colocate_async"])
def test_what_an_outage_spoiled_leaves_batch_and_queue(queue: FakeQueue, mode: str) -> None:
    batch, metrics = step(queue, buffer(queue, mode))
    assert metrics["retool/dropped"] == BATCH
    assert metrics["retool/sandbox_unavailable_rate"] == pytest.approx(1 / 3)
    assert set(batch.keys) == queue.trajectories()
    assert not [key for key in batch.keys if key.endswith("_2_0")]


@groups([RIGHT, WRONG, DOWN])
@pytest.mark.parametrize("choice", ["mask", "keep"])
def test_dropping_is_an_option(queue: FakeQueue, choice: str) -> None:
    batch, metrics = step(queue, buffer(queue, masks={"unavailable": choice}))
    assert len(batch.keys) == 3 * BATCH
    assert metrics["retool/dropped"] == 0.0
    assert metrics["retool/sandbox_unavailable_rate"] == pytest.approx(1 / 3)


@groups([RIGHT, DOWN], [RIGHT, WRONG])
def test_a_trajectory_that_is_left_alone_goes_too(queue: FakeQueue) -> None:
    batch, metrics = step(queue, buffer(queue))
    assert metrics["retool/dropped"] == 2.0
    assert len(batch.keys) == 2 * (BATCH - 1)


@groups([RIGHT])
def test_a_group_of_one_from_the_start_stays(queue: FakeQueue) -> None:
    assert len(step(queue, buffer(queue))[0].keys) == BATCH


@groups([DOWN, DOWN])
@pytest.mark.parametrize("filtering", [{}, {"filter_groups": FILTER}])
@pytest.mark.parametrize("mode", ["sync", "colocate_async"])
def test_a_batch_of_which_nothing_is_left_is_an_error(
    queue: FakeQueue, mode: str, filtering: dict[str, Any]
) -> None:
    with pytest.raises(SandboxError, match="all 4 groups were dropped"):
        step(queue, buffer(queue, mode, **filtering))


@groups([DOWN, RIGHT])
def test_validation_is_left_as_it_is(queue: FakeQueue) -> None:
    queue.partition = "val"
    batch, metrics = step(queue, buffer(queue, alarm={"no_tool_steps": 1}), "val")
    assert (len(batch.keys), metrics) == (2 * BATCH, {})


@groups([RIGHT, RIGHT], [RIGHT, WRONG])
@pytest.mark.parametrize("mode", ["sync", "colocate_async"])
def test_a_group_without_a_signal_is_replaced(queue: FakeQueue, mode: str) -> None:
    batch, metrics = step(queue, buffer(queue, mode, filter_groups=FILTER))
    chosen = {key.split("_")[0] for key in batch.keys}
    assert len(chosen) == BATCH
    assert "g000" not in chosen
    assert metrics["training/filter_groups/evicted_samples"] == 1
    assert metrics["retool/groups_without_signal"] == 0.0


@groups([RIGHT, RIGHT])
@pytest.mark.parametrize("mode", ["sync", "colocate_async"])
def test_no_signal_anywhere_ends_with_a_full_batch(queue: FakeQueue, mode: str) -> None:
    batch, metrics = step(queue, buffer(queue, mode, filter_groups=FILTER))
    assert len(batch.keys) == 2 * BATCH
    assert metrics["retool/groups_without_signal"] == BATCH
    assert metrics["retool/generated_batches"] == 3.0 == queue.submitted / BATCH


@groups([RIGHT, RIGHT])
def test_the_limit_holds_for_each_step(queue: FakeQueue) -> None:
    sampler = buffer(queue, filter_groups=FILTER)
    for _ in range(2):
        assert step(queue, sampler)[1]["retool/generated_batches"] == 3.0


@groups([RIGHT, RIGHT, DOWN], [RIGHT, WRONG])
def test_a_group_is_judged_by_what_is_left_of_it(queue: FakeQueue) -> None:
    batch, metrics = step(queue, buffer(queue, filter_groups={**FILTER, "metric": "acc"}))
    assert metrics["training/filter_groups/evicted_samples"] == 1
    assert not [key for key in batch.keys if key.startswith("g000")]


@groups([SILENT, SILENT])
def test_a_silent_run_is_stopped(queue: FakeQueue) -> None:
    sampler = buffer(queue, alarm={"no_tool_steps": 2}, environment="hermes")
    step(queue, sampler)
    with pytest.raises(StageError, match=r"no_tool_steps=0"):
        step(queue, sampler)


@groups([SILENT, SILENT])
def test_an_agent_loop_that_does_not_count_is_not_silent(queue: FakeQueue) -> None:
    queue.counted = False
    sampler = buffer(queue, alarm={"no_tool_steps": 1})
    metrics = step(queue, sampler)[1]
    assert metrics["retool/accuracy"] == 0.0
    assert "retool/tool_call_rate" not in metrics


@groups(*[[MASKED, MASKED]] * BATCH, [MASKED, RIGHT])
@pytest.mark.parametrize("mode", ["sync", "colocate_async"])
def test_a_batch_without_a_token_to_train_on_is_replaced(queue: FakeQueue, mode: str) -> None:
    batch, metrics = step(queue, buffer(queue, mode))
    assert len(batch.keys) == 2 * BATCH
    assert metrics["retool/masked_rate"] == 0.75
    assert set(batch.keys) == queue.trajectories()


@groups([MASKED, MASKED])
def test_batches_without_a_token_end_with_the_reason(queue: FakeQueue) -> None:
    with pytest.raises(StageError, match=r"truncated.*retool\.masks\.truncated=false"):
        step(queue, buffer(queue))


@groups([RIGHT, WRONG])
def test_all_updates_of_a_step_are_dumped(queue: FakeQueue, tmp_path: Path) -> None:
    sampler = buffer(queue, dump=str(tmp_path))
    for _ in range(2):
        batch, _ = step(queue, sampler)
        queue.kv_clear(list(batch.keys), "train")
    assert len((tmp_path / "counters" / "1.jsonl").read_text().splitlines()) == 2 * 2 * BATCH


def test_the_mode_chooses_the_buffer() -> None:
    assert isinstance(buffer(FakeQueue([]), "separate_async"), ReToolReplayBufferAsync)


def test_the_arguments_are_those_that_verl_gives_its_own_buffer(monkeypatch: pytest.MonkeyPatch) -> None:
    from verl.trainer.ppo.v1 import trainer_base

    given: dict[str, Any] = {}
    monkeypatch.setattr(
        trainer_base.ReplayBuffer, "__init__", lambda self, **kwargs: given.update(kwargs) or None
    )
    config = OmegaConf.create(
        {
            "algorithm": {"filter_groups": FILTER},
            "data": {"train_batch_size": BATCH},
            "reward": {"reward_model": {"enable": False}},
            "trainer": {
                "v1": {
                    "sampler": {
                        "max_off_policy_threshold": 8,
                        "max_off_policy_strategy": "drop",
                        "sync_refill_failed_groups": True,
                        "sampler_kwargs": {},
                    }
                }
            },
        }
    )
    trainer = object.__new__(trainer_base.PPOTrainer.__subclasses__()[0])
    trainer.config, trainer.trainer_mode = config, "sync"
    trainer._build_replay_buffer()
    theirs = dict(given)
    given.clear()
    buffer(FakeQueue([]), filter_groups=FILTER, sync_refill_failed_groups=True)
    assert given.pop("poll_interval") == 0.01
    for name in ("refill_fn", "sampler_kwargs"):
        given.pop(name), theirs.pop(name)
    assert given == theirs
