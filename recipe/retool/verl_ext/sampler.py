"""A replay buffer that looks often, for steps that last seconds.

verl's V1 trainer asks its queue every two seconds whether the rollout is done
(``poll_interval``, verl/trainer/ppo/v1/replay_buffer.py) and offers no key for it. With a large model
that is nothing; with a tiny one on a CPU it is a good part of each step.
"""

from typing import Any

from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer

POLL_SECONDS = 0.2


class QuickReplayBuffer(ReplayBuffer):
    """``trainer.v1.sampler.custom_sampler`` of device=cpu.

    Like any custom sampler it knows no DAPO group filter.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, poll_interval=POLL_SECONDS, **kwargs)
