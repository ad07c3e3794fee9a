"""What a rate of calls means for a training step."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """The calls of one step of training.

    Attributes:
        batch: Prompts in a step.
        samples: Answers for each prompt.
        turns: Calls of each answer, at most.
        seconds: Length of the step.
    """

    batch: int = 32
    samples: int = 16
    turns: int = 16
    seconds: float = 300.0

    @property
    def calls(self) -> int:
        """Calls in a step, at most."""
        return self.batch * self.samples * self.turns

    def share(self, rate: float) -> float:
        """Share of the step that its calls take at so many a second, with nothing beside them."""
        return self.calls / rate / self.seconds

    def cores(self, rate: float, cores: int, share: float) -> int:
        """Cores that keep the calls below a share of the step, where ``cores`` of them give the rate."""
        return max(1, math.ceil(cores * self.share(rate) / share))
