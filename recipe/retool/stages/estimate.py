"""Will it fit? Memory and arithmetic of one step, from the config and the shape of the model.

An estimate: it counts weights, gradients, Adam's moments, stored activations, logits and the key-value
cache, and knows nothing of fragmentation or of the buffers of the libraries.
"""

from dataclasses import dataclass, replace
from typing import Any

from recipe.retool.device.memory import DeviceMemory
from recipe.retool.stages.layout import has_critic
from recipe.retool.stages.shapes import ModelShape

_GIB = 2**30
FLOPS = 1e14  # assumed: what a device really reaches; an A100 has 3.1e14 at its best
_HALF, _FLOAT = 2, 4  # bytes
_TRAIN_FLOPS = 8  # a parameter and token: forward 2, backward 4, the forward pass again for checkpointing 2
_PROBABILITY_FLOPS = 2  # RL computes the old log-probabilities in a forward pass of its own


@dataclass(frozen=True)
class Training:
    """GiB of one device while it trains, and the arithmetic of one step.

    Attributes:
        states: Weights, gradients and Adam's moments in float32, the device's share.
        activations: Stored for the backward pass, with gradient checkpointing, and one layer at work.
        logits: Of one micro-batch, with their gradient.
        seconds: A step in which every sequence is as long as allowed.
    """

    states: float
    activations: float
    logits: float
    seconds: float

    @property
    def total(self) -> float:
        """Peak of one device."""
        return self.states + self.activations + self.logits


@dataclass(frozen=True)
class Rollout:
    """GiB of one device while it generates, and of the host.

    Attributes:
        weights: Of the engine, the device's share.
        cache: What is left of gpu_memory_utilization for the key-value cache.
        sequences: Longest sequences that the cache of one engine holds at once.
        host: Offloaded weights and moments, and the engine's sleeping weights, of one node.
    """

    weights: float
    cache: float
    sequences: float
    host: float


def estimate_training(shape: ModelShape, world: int, tokens: int, trained: int, flops: int) -> Training:
    """Estimate training with FSDP.

    Args:
        shape: The model.
        world: Devices that share its states.
        tokens: Tokens of a micro-batch on one device.
        trained: Tokens of a step on all devices.
        flops: Operations for a parameter and token.
    """
    count = shape.parameters()
    layer = (count - shape.vocabulary * shape.hidden) / shape.layers
    stored = tokens * shape.hidden * shape.layers * _HALF
    working = tokens * (8 * shape.hidden + 4 * shape.intermediate) * _HALF + 2 * layer * _HALF
    return Training(
        states=4 * _FLOAT * count / world / _GIB,
        activations=(stored + working) / _GIB,
        logits=tokens * shape.vocabulary * 2 * _HALF / _GIB,
        seconds=flops * count * trained / world / FLOPS,
    )


def estimate_rl(values: dict[str, Any], shape: ModelShape, device: DeviceMemory) -> tuple[Training, Rollout]:
    """Estimate an RL config on devices of the given memory; the critic is as large as the policy."""
    model, trainer, data = values["actor_rollout_ref"], values["trainer"], values["data"]
    actor, rollout = model["actor"], model["rollout"]
    nodes = int(trainer["nnodes"])
    world, tp = int(trainer["n_gpus_per_node"]) * nodes, int(rollout["tensor_model_parallel_size"])
    longest = int(data["max_prompt_length"]) + int(data["max_response_length"])
    trained = int(data["train_batch_size"]) * int(rollout["n"]) * longest
    flops = _TRAIN_FLOPS + _PROBABILITY_FLOPS
    training = estimate_training(shape, world, int(actor["ppo_max_token_len_per_gpu"]), trained, flops)
    if has_critic(values):
        tokens = int(values["critic"]["ppo_max_token_len_per_gpu"])
        critic = replace(
            estimate_training(shape, world, tokens, trained, flops), logits=0.0
        )  # one value a token
        training = max(training, critic, key=lambda found: found.total)
    offload = actor["fsdp_config"]
    kept = (_FLOAT if offload["param_offload"] else 0) + (2 * _FLOAT if offload["optimizer_offload"] else 0)
    models = 2 if has_critic(values) else 1
    weights = shape.parameters() * _HALF / tp / _GIB
    cache = max(0.0, float(rollout["gpu_memory_utilization"]) * device.gib - weights)
    host = models * kept * shape.parameters() / nodes / _GIB + weights * world / nodes
    return training, Rollout(weights, cache, cache * _GIB * tp / (shape.cache_bytes() * longest), host)


def estimate_sft(values: dict[str, Any], shape: ModelShape) -> Training:
    """Estimate an SFT config."""
    data, trainer = values["data"], values["trainer"]
    world = int(trainer["n_gpus_per_node"]) * int(trainer["nnodes"])
    longest = int(data["max_length"])
    tokens = int(data["max_token_len_per_gpu"])
    if not data["use_dynamic_bsz"]:
        tokens = int(data["micro_batch_size_per_gpu"]) * longest
    return estimate_training(shape, world, tokens, int(data["train_batch_size"]) * longest, _TRAIN_FLOPS)
