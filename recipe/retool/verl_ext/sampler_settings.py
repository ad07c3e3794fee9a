"""Settings of the sampler: ``trainer.v1.sampler.sampler_kwargs`` of configs/stack/verl_0_9.yaml.

The values lead, by interpolation, to the keys that a user sets; messages name those. Imports no engine, so
that they are checked before one starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from recipe.retool.env.settings import Masks, refuse_unknown
from recipe.retool.errors import ConfigError
from recipe.retool.records.alarm import AlarmOptions

VERL_POLL_SECONDS = 2.0  # verl/trainer/ppo/v1/replay_buffer.py, where no key leads
_FILTER = "algorithm.filter_groups"


@dataclass(frozen=True)
class FilterSettings:
    """DAPO's dynamic sampling (``algorithm.filter_groups``).

    Attributes:
        metric: What the trajectories of a group are compared by; None: no filter.
        max_num_gen_batches: Most batches of prompts for one step; 0 or less: no limit.
        max_inflight_gen_batches: Batches of prompts in flight at a time.
    """

    metric: str | None = None
    max_num_gen_batches: int = 0
    max_inflight_gen_batches: int = 1

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> "FilterSettings":
        """Read ``algorithm.filter_groups``; ConfigError names the key."""
        given = dict(config or {})
        if not given.get("enable", False):
            return cls()
        if not given.get("metric"):
            raise ConfigError(f"{_FILTER}.metric is not set: set it to reward, or to acc")
        most = _whole(f"{_FILTER}.max_num_gen_batches", given.get("max_num_gen_batches", 0))
        if most == 1:
            raise ConfigError(
                f"{_FILTER}.max_num_gen_batches=1 leaves nothing to filter: set 2 or more, 0 for no limit, "
                f"or {_FILTER}.enable=false"
            )
        inflight = _whole(f"{_FILTER}.max_inflight_gen_batches", given.get("max_inflight_gen_batches", 1))
        if inflight < 1:
            raise ConfigError(f"{_FILTER}.max_inflight_gen_batches={inflight} must be 1 or more")
        return cls(str(given["metric"]), most, inflight)


@dataclass(frozen=True)
class SamplerSettings:
    """All settings of the sampler.

    Attributes:
        train_batch_size: Prompts of one training step.
        poll_interval: Seconds between two looks at the queue.
        masks: See :class:`Masks`.
        alarm: See :class:`AlarmOptions`.
        environment: Name of the tool environment.
        filter_groups: See :class:`FilterSettings`.
        sync_refill_failed_groups: verl's own: replace groups of which no trajectory is left by an error.
        adv_estimator: ``algorithm.adv_estimator``; all but ``gae`` compare the trajectories of a group.
        dump: Folder for the counters of each trajectory (``trainer.rollout_data_dir``); empty: none.
    """

    train_batch_size: int
    poll_interval: float = VERL_POLL_SECONDS
    masks: Masks = field(default_factory=Masks)
    alarm: AlarmOptions = field(default_factory=AlarmOptions)
    environment: str = ""
    filter_groups: FilterSettings = field(default_factory=FilterSettings)
    sync_refill_failed_groups: bool = False
    adv_estimator: str = "grpo"
    dump: str = ""

    @property
    def group_baseline(self) -> bool:
        """Whether a trajectory alone in its group has no baseline."""
        return self.adv_estimator != "gae"

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> "SamplerSettings":
        """Read ``sampler_kwargs``; ConfigError names the key that is unknown or has a wrong value."""
        where = "trainer.v1.sampler.sampler_kwargs"
        refuse_unknown(where, kwargs, [one.name for one in fields(cls)])
        poll = kwargs.get("poll_interval", VERL_POLL_SECONDS)
        if isinstance(poll, bool) or not isinstance(poll, (int, float)) or not 0 < poll < 60:
            raise ConfigError(f"{where}.poll_interval={poll!r} must be seconds above 0 and below 60")
        return cls(
            train_batch_size=_whole("data.train_batch_size", kwargs.get("train_batch_size")),
            poll_interval=float(poll),
            masks=Masks.from_config(kwargs.get("masks")),
            alarm=AlarmOptions.from_config(kwargs.get("alarm")),
            environment=str(kwargs.get("environment", "")),
            filter_groups=FilterSettings.from_config(kwargs.get("filter_groups")),
            sync_refill_failed_groups=bool(kwargs.get("sync_refill_failed_groups", False)),
            adv_estimator=str(kwargs.get("adv_estimator", "grpo")),
            dump=str(kwargs.get("dump") or ""),
        )


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{key}={value!r} must be a whole number")
    return value
