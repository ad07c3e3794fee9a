"""Will it fit? Memory and arithmetic of one RL step, from the config and the shape of the model.

An estimate: it counts weights, gradients, Adam's moments, stored activations, logits and the key-value
cache, and knows nothing of fragmentation or of the buffers of the libraries.
"""

from dataclasses import dataclass
from typing import Any

from recipe.retool.device.memory import DeviceMemory
from recipe.retool.stages.shapes import ModelShape

_GIB = 2**30
_FLOPS = 1e14  # assumed: what a device really reaches; an A100 has 3.1e14 at its best
_HALF, _FLOAT = 2, 4  # bytes


@dataclass(frozen=True)
class Estimate:
    """GiB for one device, of host memory for one node, and the arithmetic of one step.

    Attributes:
        states: Weights, gradients and Adam's moments in float32, the device's share.
        activations: Stored for the backward pass, with gradient checkpointing, and one layer's weights.
        logits: Of one micro-batch, with their gradient.
        engine: Weights of the rollout engine, the device's share.
        cache: What is left of gpu_memory_utilization for the key-value cache.
        sequences: Longest sequences that the cache of one engine holds at once.
        host: Offloaded weights and moments, and the engine's sleeping weights, of one node.
        device: What one device has.
        step_seconds: Training part of a step when every answer is as long as allowed.
    """

    states: float
    activations: float
    logits: float
    engine: float
    cache: float
    sequences: float
    host: float
    device: DeviceMemory
    step_seconds: float

    @property
    def training(self) -> float:
        """Peak of one device while it trains."""
        return self.states + self.activations + self.logits


def estimate_rl(values: dict[str, Any], shape: ModelShape, device: DeviceMemory) -> Estimate:
    """Estimate an RL config on devices of the given memory."""
    model, trainer = values["actor_rollout_ref"], values["trainer"]
    actor, rollout = model["actor"], model["rollout"]
    world, nodes = int(trainer["n_gpus_per_node"]) * int(trainer["nnodes"]), int(trainer["nnodes"])
    count, tokens = shape.parameters(), int(actor["ppo_max_token_len_per_gpu"])
    tp = int(rollout["tensor_model_parallel_size"])
    layer = (count - shape.vocabulary * shape.hidden) / shape.layers
    stored = tokens * shape.hidden * shape.layers * _HALF
    working = tokens * (8 * shape.hidden + 4 * shape.intermediate) * _HALF + 2 * layer * _HALF
    engine = count * _HALF / tp / _GIB
    cache = float(rollout["gpu_memory_utilization"]) * device.gib - engine
    longest = _longest(values)
    offload = actor["fsdp_config"]["param_offload"], actor["fsdp_config"]["optimizer_offload"]
    kept = (_FLOAT if offload[0] else 0) + (2 * _FLOAT if offload[1] else 0)
    trained = int(values["data"]["train_batch_size"]) * int(rollout["n"]) * longest
    return Estimate(
        states=4 * _FLOAT * count / world / _GIB,
        activations=(stored + working) / _GIB,
        logits=tokens * shape.vocabulary * 2 * _HALF / _GIB,
        engine=engine,
        cache=max(0.0, cache),
        sequences=max(0.0, cache) * _GIB * tp / (shape.cache_bytes() * longest),
        host=(kept * count / nodes + count * _HALF * world / tp / nodes) / _GIB,
        device=device,
        step_seconds=10 * count * trained / world / _FLOPS,  # 2 once more forward, 2 + 4 train, 2 recompute
    )


def lines(found: Estimate) -> list[str]:
    """The estimate as text."""
    memory = found.device
    return [
        f"estimate for one device of {memory.gib:.0f} GiB ({memory.origin}); not a measurement:",
        f"  training   {found.training:.0f} GiB: weights, gradients and Adam {found.states:.1f}, activations "
        f"{found.activations:.1f}, logits {found.logits:.1f}",
        f"  rollout    weights {found.engine:.1f} GiB, key-value cache {found.cache:.1f} GiB, "
        f"{found.sequences:.0f} longest sequences at once for each engine",
        f"  host       {found.host:.0f} GiB a node for what is offloaded and for the sleeping engine",
        f"  step       at most {found.step_seconds / 60:.0f} min of training at an assumed "
        f"{_FLOPS / 1e12:.0f} TFLOP/s a device; generation and tools come on top",
    ]


def warnings(found: Estimate) -> list[str]:
    """What cannot fit, with the key to turn."""
    told = []
    if found.training > found.device.gib:
        told.append(
            f"training needs about {found.training:.0f} GiB a device, there are {found.device.gib:.0f}: "
            "lower actor_rollout_ref.actor.ppo_max_token_len_per_gpu (with more sequence parallelism) or "
            "take more devices"
        )
    if found.sequences < 1:
        told.append(
            "the key-value cache does not hold one longest sequence: raise actor_rollout_ref.rollout."
            "gpu_memory_utilization or tensor_model_parallel_size, or lower data.max_response_length"
        )
    return told


def _longest(values: dict[str, Any]) -> int:
    return int(values["data"]["max_prompt_length"]) + int(values["data"]["max_response_length"])
