"""How much memory one device has: asked of the vendor's program, or assumed."""

import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_SECONDS = 20.0
_GIB = 2**30
_MEMINFO = Path("/proc/meminfo")
# The cards that the published settings are for: A100/H100 80 GB, Atlas 900 A2 64 GB.
_ASSUMED_GIB = {"gpu": 80.0, "npu": 64.0}
# Models whose config is for another card (configs/device/model/).
_ASSUMED_FOR_MODEL = {("gpu", "qwen3_0_6b"): 24.0}
_ASK = {
    "gpu": ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"),
    "npu": ("npu-smi", "info"),  # the whole table: in a container, the one NPU need not have the number 0
}
_ANSWER = {
    "gpu": re.compile(r"^\s*(\d+)", re.MULTILINE),
    # The end of the row with the bus address: HBM in use / there is (on a chip without HBM, its DDR).
    "npu": re.compile(
        r"\|\s*[\dA-Fa-f]{4}:[\dA-Fa-f]{2}:[\dA-Fa-f]{2}\.\d\s*\|.*?\d+\s*/\s*(\d+)\s*\|\s*$", re.MULTILINE
    ),
}


@dataclass(frozen=True)
class DeviceMemory:
    """Memory of one device in GiB, and where the figure comes from."""

    gib: float
    origin: str


def _run(command: Sequence[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout


def device_memory(device: str, model: str = "", run: Callable[[Sequence[str]], str] = _run) -> DeviceMemory:
    """Memory of the smallest device; for the CPU that of the host.

    Where nobody answers, that of the card which the config of the device and the model is for.
    """
    if device == "cpu":
        text = _MEMINFO.read_text() if _MEMINFO.is_file() else ""
        found = re.search(r"MemTotal:\s*(\d+)", text)
        return DeviceMemory(int(found[1]) * 1024 / _GIB if found else 8.0, "this host")
    sizes = [int(size) / 1024 for size in _ANSWER[device].findall(run(_ASK[device]))]
    sizes = [size for size in sizes if size]
    if sizes:
        return DeviceMemory(min(sizes), f"this host's {_ASK[device][0]}")
    return DeviceMemory(_ASSUMED_FOR_MODEL.get((device, model), _ASSUMED_GIB[device]), "assumed")
