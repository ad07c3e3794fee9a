"""The tokens of one trajectory, with what is trained on: token in, token out.

Nothing here is ever decoded, edited and encoded again. Response ids, mask and log-probabilities have one
length at every moment, because each way to add tokens adds to all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

MODEL, TOOL = 1, 0  # values of the response mask
SEGMENTS = "segments"  # of a dumped trajectory: (mask, tokens, decoded text) of each run of one mask


@dataclass
class Transcript:
    """Prompt and response of a trajectory.

    Attributes:
        prompt_ids: Tokens of the prompt.
        limit: Most tokens of the response.
        response_ids: Tokens of the response: the model's and the tools', in order.
        response_mask: 1 for each token that the model wrote, 0 for all others.
        logprobs: The model's log-probabilities, 0 for other tokens; empty when the engine gives none.
    """

    prompt_ids: list[int]
    limit: int
    response_ids: list[int] = field(default_factory=list)
    response_mask: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)

    @property
    def ids(self) -> list[int]:
        """All tokens so far: what the engine continues."""
        return self.prompt_ids + self.response_ids

    @property
    def room(self) -> int:
        """Tokens that the response may still take."""
        return self.limit - len(self.response_ids)

    def add_model(self, ids: Sequence[int], logprobs: Sequence[float] | None) -> None:
        """Append a turn of the model.

        Args:
            ids: Its tokens, at most ``room``.
            logprobs: One for each token; None or empty when the engine gives none, and then for every turn.

        Raises:
            ValueError: The lengths differ, or only some turns have log-probabilities.
        """
        given = list(logprobs or [])
        if given and len(given) != len(ids):
            raise ValueError(f"{len(given)} log-probabilities for {len(ids)} tokens")
        if ids and self.response_mask and bool(given) != bool(self.logprobs):
            raise ValueError("the engine gave log-probabilities for some turns only")
        self.response_ids.extend(ids)
        self.response_mask.extend([MODEL] * len(ids))
        self.logprobs.extend(given)
        self._check()

    def add_tool(self, ids: Sequence[int], replaced: int = 0) -> None:
        """Append tokens that the model did not write.

        Args:
            ids: The tokens.
            replaced: How many of the last tokens they take the place of: some chat templates end a turn of
                the model with the token that begins the next one.
        """
        if replaced:
            del self.response_ids[-replaced:], self.response_mask[-replaced:], self.logprobs[-replaced:]
        self.response_ids.extend(ids)
        self.response_mask.extend([TOOL] * len(ids))
        if self.logprobs:
            self.logprobs.extend([0.0] * len(ids))
        self._check()

    def turns(self) -> list[list[int]]:
        """The runs of the model's tokens, in order."""
        return model_turns(self.response_ids, self.response_mask)

    def _check(self) -> None:
        if len(self.response_ids) != len(self.response_mask) or (
            self.logprobs and len(self.logprobs) != len(self.response_ids)
        ):
            raise ValueError("ids, mask and log-probabilities of a trajectory have different lengths")


def segments(ids: Sequence[int], mask: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Split a response into runs of one mask value, in order: (mask, ids)."""
    runs: list[tuple[int, list[int]]] = []
    for token, trained in zip(ids, mask, strict=True):
        if not runs or runs[-1][0] != trained:
            runs.append((trained, []))
        runs[-1][1].append(token)
    return runs


def model_turns(ids: Sequence[int], mask: Sequence[int]) -> list[list[int]]:
    """The runs of model tokens (mask 1), in order; tool tokens are left out."""
    return [run for trained, run in segments(ids, mask) if trained]
