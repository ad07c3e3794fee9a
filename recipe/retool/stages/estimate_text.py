"""The estimate as text, and what cannot fit, with the key to turn."""

from recipe.retool.device.memory import DeviceMemory
from recipe.retool.stages.estimate import FLOPS, Rollout, Training


def training_lines(found: Training, device: DeviceMemory) -> list[str]:
    """What training takes."""
    return [
        f"estimate for one device of {device.gib:.0f} GiB ({device.origin}); not a measurement:",
        f"  training   {found.total:.0f} GiB: weights, gradients and Adam {found.states:.1f}, activations "
        f"{found.activations:.1f}, logits {found.logits:.1f}",
        f"  step       about {found.seconds / 60:.1f} min of training at an assumed "
        f"{FLOPS / 1e12:.0f} TFLOP/s a device",
    ]


def rollout_lines(found: Rollout) -> list[str]:
    """What the rollout and the host take."""
    return [
        f"  rollout    weights {found.weights:.1f} GiB, key-value cache {found.cache:.1f} GiB, "
        f"{found.sequences:.0f} longest sequences at once for each engine; its time comes on top",
        f"  host       {found.host:.0f} GiB a node for what is offloaded and for the sleeping engine",
    ]


def training_warnings(found: Training, device: DeviceMemory, key: str) -> list[str]:
    """Training that does not fit; ``key`` is the token budget that would make it smaller."""
    if found.total <= device.gib:
        return []
    return [
        f"training needs about {found.total:.0f} GiB a device, there are {device.gib:.0f}: lower {key} "
        "(with more sequence parallelism) or take more devices"
    ]


def rollout_warnings(found: Rollout) -> list[str]:
    """A cache that does not hold one sequence."""
    if found.sequences >= 1:
        return []
    return [
        "the key-value cache does not hold one longest sequence: raise actor_rollout_ref.rollout."
        "gpu_memory_utilization or tensor_model_parallel_size, or lower data.max_response_length"
    ]
