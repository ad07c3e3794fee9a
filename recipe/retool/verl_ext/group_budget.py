"""How many groups without a signal DAPO's dynamic sampling may throw away in one step.

DAPO (arXiv 2503.14476, section 3.2) samples until the batch is full of groups with a signal. A policy that
solves all problems, or none, then samples without an end: verl 0.9.1 reads ``max_num_gen_batches`` and
ignores it. With a limit of B batches a step throws away at most B - 1 batches of groups, so that what it
generated and did not throw away always fills the batch; from then on groups are taken as they come.
"""

from dataclasses import dataclass


@dataclass
class GroupBudget:
    """The prompts of one step.

    Attributes:
        batches: Most batches of prompts that one step generates; 0 or less: no limit.
        batch: Prompts of one batch.
        evicted: Groups thrown away because all their trajectories have the same reward.
        failed: Groups thrown away because they failed; they are replaced beyond the limit.
        refilled: Prompts generated in their place.
    """

    batches: int
    batch: int
    evicted: int = 0
    failed: int = 0
    refilled: int = 0

    def evictable(self, groups: int) -> int:
        """How many of ``groups`` without a signal may be thrown away."""
        return groups if self.batches <= 0 else max(0, min(groups, self._more() - self.evicted))

    def refillable(self, prompts: int) -> int:
        """How many of ``prompts`` that the filter asks for may be generated."""
        if self.batches <= 0:
            return prompts
        return max(0, min(prompts, self._more() + self.failed - self.refilled))

    def generated_batches(self) -> float:
        """Batches of prompts that this step generated, the first one included."""
        return (self.batch + self.refilled) / self.batch

    def next_step(self) -> None:
        """Begin anew."""
        self.evicted = self.failed = self.refilled = 0

    def _more(self) -> int:
        return (self.batches - 1) * self.batch
