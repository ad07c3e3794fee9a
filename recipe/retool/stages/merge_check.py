"""Does a merged model compute what its shards compute?"""

import logging
from pathlib import Path
from typing import Any

from recipe.retool.data.prompts import with_instruction
from recipe.retool.errors import StageError

PROMPTS = (
    with_instruction("What is 12*34?"),
    "Find the number of positive integers n below 1000 such that n^2 + 1 is prime.",
    "<|im_start|>user\n\\frac{1}{2}<|im_end|>\n",
)


def logits_gap(shards: Path, ranks: int, merged: Path) -> float:
    """Largest absolute difference of a logit on ``PROMPTS`` between the merged model and its shards.

    The model is loaded once from ``merged``; then its weights are replaced by the shards', put
    together here without verl's merger.

    Raises:
        StageError: The merged folder does not load, or the shards do not fit the model.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging as hf_logging

    hf_logging.disable_progress_bar()
    # Unpickled shards carry a device mesh without its process groups; only torch.compile would mind.
    logging.getLogger("torch.distributed.device_mesh").setLevel(logging.ERROR)
    try:
        model = AutoModelForCausalLM.from_pretrained(merged, dtype="auto").eval()
        tokenizer = AutoTokenizer.from_pretrained(merged)
    except (OSError, ValueError) as error:
        raise StageError(f"the merged model in {merged} does not load: {error}") from error

    def logits() -> list[Any]:
        with torch.no_grad():
            return [model(**tokenizer(text, return_tensors="pt")).logits.float() for text in PROMPTS]

    from_merged = logits()
    missing = _load_shards(model, shards, ranks)
    if missing:
        raise StageError(f"shards of {shards}: {missing[0]} of the model is missing")
    return max(float((a - b).abs().max()) for a, b in zip(from_merged, logits(), strict=True))


def _load_shards(model: Any, folder: Path, ranks: int) -> list[str]:
    """Replace the model's weights by the shards'; return the names of weights that no shard has."""
    import torch

    states = [
        torch.load(
            folder / f"model_world_size_{ranks}_rank_{rank}.pt", map_location="cpu", weights_only=False
        )
        for rank in range(ranks)
    ]
    own = dict(model.named_parameters())
    with torch.no_grad():
        for name in states[0]:
            if name in own:
                own.pop(name).copy_(_whole([state[name] for state in states]))
    tied = getattr(model, "_tied_weights_keys", None) or ()
    return [name for name in own if name not in tied]


def _whole(parts: list[Any]) -> Any:
    """The full tensor of one weight: DTensor shards are joined along their dimension, others are equal."""
    import torch

    first = parts[0]
    placements = getattr(first, "placements", None)
    if placements is None:
        return first
    local = [part.to_local() if hasattr(part, "to_local") else part for part in parts]
    sharded = [placement for placement in placements if placement.is_shard()]
    return torch.cat(local, dim=sharded[-1].dim) if sharded else local[0]
