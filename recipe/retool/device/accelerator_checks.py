"""Checks of a host with GPUs or NPUs: what would end a run minutes after its start, looked at before."""

import glob
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path

from recipe.retool.device.checks import Check, error, ok, warning
from recipe.retool.device.detect import Detection
from recipe.retool.device.ray_cluster import check_ray
from recipe.retool.device.stacks import stack_of
from recipe.retool.device.variables import check_allocator, obsolete
from recipe.retool.errors import ConfigError

_VISIBLE = {"gpu": "CUDA_VISIBLE_DEVICES", "npu": "ASCEND_RT_VISIBLE_DEVICES"}
_VERSION = re.compile(r"^version=(.+)$", re.MULTILINE)


def check_accelerator(
    device: str, stack: str, detection: Detection, env: Mapping[str, str] = os.environ
) -> list[Check]:
    """All checks of this module that apply to the device."""
    checks = [check_visible(device, env, detection.count), *check_variables(device, stack, env)]
    if device == "npu":
        checks += [check_toolkit(stack, env), check_nnal(env), check_soc(detection.count)]
    return [*checks, check_ray(env)]


def check_visible(device: str, env: Mapping[str, str], usable: int) -> Check:
    """The list of visible devices is one, and torch sees as many."""
    name = _VISIBLE[device]
    value = env.get(name)
    if value is None:
        return ok("visible devices", f"{name} is not set: all {usable}")
    listed = [part.strip() for part in value.split(",") if part.strip()]
    if not listed or "-1" in listed or len(listed) != len(set(listed)):
        return error("visible devices", f"{name}={value!r}", f"give each device once, or unset {name}")
    if usable and len(listed) != usable:
        return error(
            "visible devices", f"{name}={value} names {len(listed)}, torch sees {usable}", f"correct {name}"
        )
    return ok("visible devices", f"{name}={value}: set trainer.n_gpus_per_node={len(listed)}")


def check_variables(device: str, stack: str, env: Mapping[str, str]) -> list[Check]:
    """Variables of the shell that hurt, or that do nothing on this stack."""
    checks = [warning("variable", line.split(";")[0], "unset it") for line in obsolete(device, stack, env)]
    try:
        check_allocator(device, env)
    except ConfigError as problem:
        checks.append(error("allocator", str(problem), "vllm-ascend cannot sleep with it"))
    missing = [
        path for path in re.split(r"[: ]", env.get("LD_PRELOAD", "")) if path and not Path(path).exists()
    ]
    if missing:
        checks.append(
            warning("LD_PRELOAD", f"{missing[0]} does not exist", "ld.so warns in every process: unset it")
        )
    return checks or [ok("variables", "none that hurts")]


def check_toolkit(stack: str, env: Mapping[str, str], machine: str | None = None) -> Check:
    """CANN is in the environment, in a version of the stack."""
    home, wanted = env.get("ASCEND_HOME_PATH"), stack_of(stack).toolkit["npu"]
    if not home:
        return error("CANN", "ASCEND_HOME_PATH is not set", "source .../ascend-toolkit/set_env.sh")
    name = f"{machine or platform.machine()}-linux/ascend_toolkit_install.info"
    file = Path(home) / name
    found = _VERSION.search(file.read_text()) if file.is_file() else None
    if not found:
        return warning("CANN", f"no version in {file}", f"this stack is made for CANN {' or '.join(wanted)}")
    version = found[1].strip()
    if any(version.upper().startswith(one.upper()) for one in wanted):
        return ok("CANN", version)
    return warning(
        "CANN", f"{version}, made for {' or '.join(wanted)}", "untried; install the CANN of the stack"
    )


def check_nnal(env: Mapping[str, str]) -> Check:
    """ATB, which vllm-ascend loads."""
    if env.get("ATB_HOME_PATH"):
        return ok("nnal", env["ATB_HOME_PATH"])
    return error("nnal", "ATB_HOME_PATH is not set", "install nnal and source .../nnal/atb/set_env.sh")


def check_soc(count: int, pattern: str = "/dev/davinci[0-9]*") -> Check:
    """How many NPUs the node shows: an A2 node has 8, an A3 node 16."""
    files = len(glob.glob(pattern))
    if count and files and count < files:
        return warning(
            "npus", f"{files} device files, torch uses {count}", f"set trainer.n_gpus_per_node={count}"
        )
    return ok("npus", f"{count}: set trainer.n_gpus_per_node={count}" if count not in (0, 8) else str(count))
