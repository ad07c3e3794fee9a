"""Checks of the machine: Python, cores, memory, disk, shared memory, device."""

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from recipe.retool.device.checks import Check, error, ok, warning
from recipe.retool.device.detect import CPU, Detection
from recipe.retool.device.profiles import PLATFORM_VARIABLE, environment
from recipe.retool.device.stacks import DEFAULT_STACK
from recipe.retool.errors import ConfigError

_GIB = 2**30
_PYTHONS = ((3, 10), (3, 12))
# A tiny model; real models need far more, which only their owner can tell.
_LEAST_DISK_GIB = 2.0
_LEAST_MEMORY_GIB = 8.0
# By device. GPU: what verl's installation guide gives its containers. NPU: 8 ranks, each with one bucket of
# weights (configs/device/stack/) in shared memory.
_LEAST_SHM_GIB = {"cpu": 0.5, "gpu": 10.0, "npu": 32.0}
_MEMINFO = Path("/proc/meminfo")
_SHM = Path("/dev/shm")


def check_python(version: tuple[int, int] | None = None) -> Check:
    """The interpreter is one that the engines support."""
    found = version or sys.version_info[:2]
    text = f"{'.'.join(map(str, found))} at {sys.executable}"
    if _PYTHONS[0] <= found <= _PYTHONS[1]:
        return ok("python", text)
    return error("python", text, "use Python 3.10, 3.11 or 3.12")


def check_system(system: str | None = None) -> Check:
    """Linux: Ray's shared memory, prctl and /proc are used."""
    name = system or platform.system()
    text = f"{name} {platform.machine()}"
    return ok("system", text) if name == "Linux" else error("system", text, "run the stages on Linux")


def check_cores() -> Check:
    """Cores that this process may use."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count < 2:
        return warning(
            "cores", str(count), "generation and training wait for each other: expect twice the time"
        )
    return ok("cores", str(count))


def check_memory(path: Path = _MEMINFO) -> Check:
    """Memory that is free for Ray, the trainer and the rollout engine together."""
    if not path.is_file():
        return warning("memory", "unknown", f"{path} cannot be read; {_LEAST_MEMORY_GIB:g} GiB are needed")
    values = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    free = int(values["MemAvailable"].split()[0]) * 1024 / _GIB
    return _amount(
        "memory", free, _LEAST_MEMORY_GIB, "available", "close other programs or take a larger machine"
    )


def check_disk(folder: Path) -> Check:
    """Space for checkpoints."""
    free = shutil.disk_usage(folder).free / _GIB
    return _amount(
        "disk", free, _LEAST_DISK_GIB, f"free at {folder}", "free some, or write elsewhere with --out"
    )


def check_shared_memory(folder: Path = _SHM, device: str = CPU) -> Check:
    """Ray's object store and the weight transfer live in /dev/shm."""
    if not folder.is_dir():
        return warning("shared memory", f"no {folder}", "Ray falls back to slow files in /tmp")
    size = shutil.disk_usage(folder).free / _GIB
    least = _LEAST_SHM_GIB[device]
    fix = f"docker run --shm-size={max(2, round(least))}g"
    return _amount("shared memory", size, least, f"free in {folder}", fix)


def check_device(device: str, detection: Detection) -> Check:
    """The chosen device is there and works."""
    because = "; ".join(detection.evidence)
    if detection.device == device:
        count = "" if device == CPU else f"{detection.count} x "
        if detection.problem:
            return error("device", f"{device} ({because})", detection.problem)
        return ok("device", f"{count}{device} ({because})")
    if device == CPU:
        return ok(
            "device", f"cpu by choice; this machine has {detection.count} x {detection.device} ({because})"
        )
    found = f"{device} was asked for, {detection.device} was found ({because})"
    return error("device", found, f"choose device={detection.device}, or mend the driver and the torch build")


def check_environment(device: str, base: Mapping[str, str], stack: str = DEFAULT_STACK) -> Check:
    """No variable of the shell contradicts the device."""
    try:
        full = environment(device, base, stack)
    except ConfigError as problem:
        found = f"{PLATFORM_VARIABLE}={base.get(PLATFORM_VARIABLE, '(not set)')}"
        return error("environment", found, str(problem))
    return ok("environment", f"{PLATFORM_VARIABLE}={full[PLATFORM_VARIABLE]} for the engines")


def _amount(name: str, free: float, least: float, what: str, fix: str) -> Check:
    text = f"{free:.1f} GiB {what}"
    return ok(name, text) if free >= least else warning(name, f"{text}, less than {least:g}", fix)
