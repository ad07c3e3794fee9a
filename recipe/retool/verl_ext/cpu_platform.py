"""verl's platform interface for a host without an accelerator.

verl calls ``torch.cuda``-shaped functions on ``device_module``; ``torch.cpu`` lacks half of them, so
the module given here adds them: memory figures are the process's own, streams and caches are no-ops.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from verl.plugin.platform import PlatformBase

# Ray's name of the schedulable unit. verl counts only "GPU" or "NPU" per node, so one "GPU" stands for
# one FSDP rank; configs/device/cpu.yaml tells Ray how many there are.
RAY_RESOURCE = "GPU"


def _peak_memory(*_: Any) -> int:
    """Peak resident memory of this process in bytes (Linux gives KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _memory_info(*_: Any) -> tuple[int, int]:
    """(free, total) memory of the host in bytes."""
    import psutil

    memory = psutil.virtual_memory()
    return memory.available, memory.total


def _nothing(*_: Any, **__: Any) -> None:
    return None


def _device_module() -> ModuleType:
    module = ModuleType("retool_cpu_device")
    module.__dict__.update(
        {name: getattr(torch.cpu, name) for name in dir(torch.cpu) if not name.startswith("__")}
    )
    extra: dict[str, Any] = {
        "current_device": lambda: "cpu",
        "device_count": lambda: 1,
        "empty_cache": _nothing,
        "get_device_name": lambda *_: "cpu",
        "get_rng_state": lambda *_: torch.get_rng_state(),
        "ipc_collect": _nothing,
        "is_available": lambda: True,
        "manual_seed": torch.manual_seed,
        "manual_seed_all": torch.manual_seed,
        "max_memory_allocated": _peak_memory,
        "max_memory_reserved": _peak_memory,
        "mem_get_info": _memory_info,
        "memory_allocated": _peak_memory,
        "memory_reserved": _peak_memory,
        "reset_peak_memory_stats": _nothing,
        "set_device": _nothing,
        "set_per_process_memory_fraction": _nothing,
        "set_rng_state": lambda state, *_: torch.set_rng_state(state),
    }
    module.__dict__.update(extra)
    return module


class PlatformCPU(PlatformBase):
    """Registered as "cpu"; chosen by ``VERL_PLATFORM=cpu``, never by detection."""

    _module = _device_module()

    @property
    def device_name(self) -> str:
        return "cpu"

    @property
    def vendor_name(self) -> str:
        return "cpu"

    @property
    def device_module(self) -> ModuleType:
        return self._module

    def is_available(self) -> bool:
        return True

    def is_platform_available(self, use_smi_check: bool = False) -> bool:
        return False

    def current_device(self) -> str:
        # verl passes this to Tensor.to(), where an integer means "accelerator number".
        return "cpu"

    def device_count(self) -> int:
        return 1

    def set_device(self, device_index: int) -> None:
        return None

    def synchronize(self, device_index: int | None = None) -> None:
        return None

    def manual_seed(self, seed: int) -> None:
        torch.manual_seed(seed)

    def manual_seed_all(self, seed: int) -> None:
        torch.manual_seed(seed)

    def set_allocator_settings(self, settings: str) -> None:
        return None

    def empty_cache(self) -> None:
        return None

    def get_device_capability(self, device_index: int = 0) -> tuple[int | None, int | None]:
        return None, None

    def communication_backend_name(self) -> str:
        return "gloo"

    def visible_devices_envvar(self) -> str:
        return "RETOOL_CPU_VISIBLE_DEVICES"

    @contextmanager
    def nvtx_range(self, msg: str) -> Iterator[None]:
        yield

    def profiler_start(self) -> None:
        return None

    def profiler_stop(self) -> None:
        return None

    def ray_resource_name(self) -> str:
        return RAY_RESOURCE

    def ray_noset_envvars(self) -> list[str]:
        return ["RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES"]

    def is_ipc_supported(self) -> bool:
        return False

    def cudart(self) -> Any:
        return None
