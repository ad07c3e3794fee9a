"""Which accelerator this machine has, and why we think so.

Nothing here imports torch: with torch_npu installed and CANN's environment not sourced, ``import torch``
itself raises. Cheap evidence comes first, and a subprocess then asks torch whether the device works.
"""

import glob
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from recipe.retool.device.profiles import PLATFORM_VARIABLE, device_of_platform

AUTO = "auto"
CPU = "cpu"
GPU = "gpu"
NPU = "npu"
_PROBE_SECONDS = 60.0
_NO_CANN = ("Failed to load the backend extension", "libhccl.so", "libascend")
_SOURCE_CANN = (
    "torch_npu is installed but CANN is not in the environment: source its set_env.sh (and nnal's), or "
    "choose device=cpu"
)
_PROBES = {
    GPU: "import torch; n = torch.cuda.device_count() if torch.cuda.is_available() else 0",
    NPU: "import torch, torch_npu; n = torch.npu.device_count() if torch.npu.is_available() else 0",
}


@dataclass(frozen=True)
class Host:
    """What can be seen of a machine without touching an accelerator.

    Attributes:
        env: Environment variables.
        device_files: Accelerator files under /dev.
        programs: Vendor programs on the PATH.
        modules: Vendor packages that Python can find.
    """

    env: Mapping[str, str]
    device_files: tuple[str, ...]
    programs: tuple[str, ...]
    modules: tuple[str, ...]


@dataclass(frozen=True)
class Probe:
    """What torch says of one kind of device.

    Attributes:
        count: Devices that torch can use.
        problem: Why there are none; empty when there are.
    """

    count: int
    problem: str = ""


@dataclass(frozen=True)
class Detection:
    """The outcome.

    Attributes:
        device: "cpu", "gpu" or "npu"; the kind of a broken accelerator too, so that it is not overlooked.
        count: Devices that torch can use; 0 for the CPU and for a broken accelerator.
        evidence: The facts behind the choice, in the order in which they were found.
        problem: What keeps a device that is there from working; empty when nothing does.
    """

    device: str
    count: int
    evidence: tuple[str, ...]
    problem: str = ""


def look_at_host() -> Host:
    """Gather the cheap evidence of this machine."""
    files = [
        path for pattern in ("/dev/nvidia[0-9]*", "/dev/davinci[0-9]*") for path in sorted(glob.glob(pattern))
    ]
    programs = [name for name in ("nvidia-smi", "npu-smi") if shutil.which(name)]
    modules = [name for name in ("torch_npu", "vllm_ascend") if importlib.util.find_spec(name)]
    return Host(os.environ, tuple(files), tuple(programs), tuple(modules))


def evidence_of(host: Host, device: str) -> tuple[str, ...]:
    """The facts that speak for an accelerator of one kind ("gpu" or "npu")."""
    if device == GPU:
        hidden = host.env.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
        facts = [path for path in host.device_files if "nvidia" in path]
        facts += [f"{name} on PATH" for name in host.programs if name == "nvidia-smi"]
        return () if hidden else tuple(facts)
    facts = [path for path in host.device_files if "davinci" in path]
    facts += [f"{name} on PATH" for name in host.programs if name == "npu-smi"]
    facts += [f"{name} is set" for name in ("ASCEND_HOME_PATH", "ASCEND_TOOLKIT_HOME") if host.env.get(name)]
    return (*facts, *(f"{name} is installed" for name in host.modules))


def probe(device: str, env: Mapping[str, str], seconds: float = _PROBE_SECONDS) -> Probe:
    """Ask torch, in a subprocess that may hang or crash, how many devices of a kind it can use."""
    command = [sys.executable, "-c", f"{_PROBES[device]}; print('devices', n)"]
    try:
        done = subprocess.run(
            command, env=dict(env), capture_output=True, text=True, timeout=seconds, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Probe(0, f"torch gave no answer in {seconds:g} s: is the driver stuck?")
    last = (done.stdout.strip().splitlines() or [""])[-1]
    if done.returncode == 0 and last.startswith("devices "):
        count = int(last.split()[1])
        return Probe(count, "" if count else "torch sees no device: driver, container flags, or a CPU build")
    return Probe(0, _why(done.stderr))


def detect(host: Host | None = None) -> Detection:
    """The device of this machine: a working accelerator, a broken one (with its problem), or the CPU.

    A VERL_PLATFORM in the environment is a choice: then only its device is looked at.

    Raises:
        ConfigError: VERL_PLATFORM names no platform.
    """
    host = host or look_at_host()
    wish = host.env.get(PLATFORM_VARIABLE, "").strip()
    if wish:
        return _chosen(host, wish)
    tried: list[Detection] = []
    for device in (GPU, NPU):
        facts = evidence_of(host, device)
        if facts:
            answer = probe(device, host.env)
            tried.append(Detection(device, answer.count, facts, answer.problem))
        if tried and tried[-1].count:
            return tried[-1]
    for found in tried:
        if any(fact.startswith("/dev/") for fact in found.evidence):
            return found  # a device that does not work is for the user to mend, not to overlook
        if found.problem == _SOURCE_CANN:  # torch_npu is there for an NPU; a container may hide its files
            return found
    facts = tuple(f"{', '.join(found.evidence)}, but {found.problem}" for found in tried)
    return Detection(CPU, 0, facts or ("no sign of a GPU or an NPU",))


def find(device: str, host: Host | None = None, always: bool = False) -> Detection | None:
    """What torch can use of an accelerator here; None when there are no files of it, unless ``always``."""
    host = host or look_at_host()
    facts = evidence_of(host, device)
    if not always and not any(fact.startswith("/dev/") for fact in facts):
        return None
    answer = probe(device, host.env)
    return Detection(device, answer.count, facts or (f"no sign of a {device}",), answer.problem)


def _chosen(host: Host, wish: str) -> Detection:
    device = device_of_platform(wish)
    facts = (f"{PLATFORM_VARIABLE}={wish}",)
    if device == CPU:
        return Detection(CPU, 0, facts)
    answer = probe(device, host.env)
    return Detection(device, answer.count, (*facts, *evidence_of(host, device)), answer.problem)


def _why(stderr: str) -> str:
    if any(mark in stderr for mark in _NO_CANN):
        return _SOURCE_CANN
    if "No module named" in stderr:
        return stderr.strip().splitlines()[-1]
    return (stderr.strip().splitlines() or ["the probe died without a message"])[-1][:300]
