"""Machines of many shapes: what is found, and what is said when something is broken."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from recipe.retool.device import detect as module
from recipe.retool.device.detect import Detection, Host, Probe, detect
from recipe.retool.errors import ConfigError
from recipe.retool.stages.choices import resolve_auto

NO_TORCH = Probe(0, "ModuleNotFoundError: No module named 'torch'")
CPU_TORCH = Probe(0, "torch sees no device: driver, container flags, or a CPU build")
NO_NPU = Probe(0, "ModuleNotFoundError: No module named 'torch_npu'")
NO_CANN = Probe(0, module._SOURCE_CANN)
HUNG = Probe(0, "torch gave no answer in 60 s: is the driver stuck?")
NVIDIA8 = tuple(f"/dev/nvidia{n}" for n in range(8))
DAVINCI8 = tuple(f"/dev/davinci{n}" for n in range(8))
DAVINCI16 = tuple(f"/dev/davinci{n}" for n in range(16))
CANN = {"ASCEND_HOME_PATH": "/usr/local/Ascend/ascend-toolkit/latest"}


@dataclass(frozen=True)
class Machine:
    """A machine, what torch says on it, and what must be found."""

    name: str
    device: str
    files: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    gpu: Probe = NO_TORCH
    npu: Probe = NO_NPU
    count: int = 0
    problem: str = ""


SMI, NSMI, ASCEND = ("nvidia-smi",), ("npu-smi",), ("torch_npu", "vllm_ascend")
MACHINES = [
    Machine("laptop", "cpu"),
    Machine("laptop with an empty visible list", "cpu", env={"CUDA_VISIBLE_DEVICES": ""}),
    Machine("8 GPUs", "gpu", NVIDIA8, SMI, gpu=Probe(8), count=8),
    Machine("1 GPU of 24 GB", "gpu", ("/dev/nvidia0",), SMI, gpu=Probe(1), count=1),
    Machine("GPU container without nvidia-smi", "gpu", ("/dev/nvidia0",), gpu=Probe(1), count=1),
    Machine("2 of 8 GPUs", "gpu", NVIDIA8, SMI, env={"CUDA_VISIBLE_DEVICES": "2,3"}, gpu=Probe(2), count=2),
    Machine("GPUs hidden by an empty list", "cpu", NVIDIA8, SMI, env={"CUDA_VISIBLE_DEVICES": ""}),
    Machine("GPUs hidden by -1", "cpu", NVIDIA8, SMI, env={"CUDA_VISIBLE_DEVICES": "-1"}),
    Machine("GPUs, CPU build of torch", "gpu", NVIDIA8, SMI, gpu=CPU_TORCH, problem="CPU build"),
    Machine("GPUs, no torch", "gpu", NVIDIA8, SMI, gpu=NO_TORCH, problem="No module named"),
    Machine("GPUs, driver stuck", "gpu", NVIDIA8, SMI, gpu=HUNG, problem="driver stuck"),
    Machine("stray nvidia-smi", "cpu", programs=SMI, gpu=CPU_TORCH),
    Machine("A2 node", "npu", DAVINCI8, NSMI, ASCEND, CANN, npu=Probe(8), count=8),
    Machine("A3 node", "npu", DAVINCI16, NSMI, ASCEND, CANN, npu=Probe(16), count=16),
    Machine("A2, no npu-smi", "npu", DAVINCI8, (), ASCEND, CANN, npu=Probe(8), count=8),
    Machine("4 of 8 NPUs", "npu", DAVINCI8, NSMI, ASCEND,
            {**CANN, "ASCEND_RT_VISIBLE_DEVICES": "0,1,2,3"}, npu=Probe(4), count=4),
    Machine("A2, no CANN", "npu", DAVINCI8, NSMI, ASCEND, npu=NO_CANN, problem="source its set_env.sh"),
    Machine("A2, no torch_npu", "npu", DAVINCI8, NSMI, (), CANN, npu=NO_NPU, problem="torch_npu"),
    Machine("A2, driver stuck", "npu", DAVINCI8, NSMI, ASCEND, CANN, npu=HUNG, problem="driver stuck"),
    Machine("A2 with a stray nvidia-smi", "npu", DAVINCI8, ("nvidia-smi", "npu-smi"), ASCEND, CANN,
            gpu=CPU_TORCH, npu=Probe(8), count=8),
    Machine("torch_npu, no CANN, device files hidden", "npu", modules=("torch_npu",), npu=NO_CANN,
            problem="source its set_env.sh"),
    Machine("build host: CANN without a device", "cpu", env=CANN, npu=NO_NPU),
    Machine("A2, but the CPU is chosen", "cpu", DAVINCI8, NSMI, ASCEND, {**CANN, "VERL_PLATFORM": "cpu"}),
    Machine("both kinds, NPU chosen", "npu", NVIDIA8 + DAVINCI8, modules=ASCEND,
            env={"VERL_PLATFORM": "huawei"}, gpu=Probe(8), npu=Probe(8), count=8),
    Machine("GPU chosen where there is none", "gpu", env={"VERL_PLATFORM": "nvidia"}, gpu=CPU_TORCH,
            problem="torch sees no device"),
    Machine("AMD chosen", "gpu", env={"VERL_PLATFORM": "amd"}, gpu=Probe(8), count=8),
]  # fmt: skip


def found_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Detection:
    answers = {"gpu": machine.gpu, "npu": machine.npu}
    monkeypatch.setattr(module, "probe", lambda device, env, seconds=0: answers[device])
    return detect(Host(machine.env, machine.files, machine.programs, machine.modules))


def test_there_are_many_shapes() -> None:
    assert len(MACHINES) >= 20


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_a_machine(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    found = found_on(machine, monkeypatch)
    assert (found.device, found.count) == (machine.device, machine.count)
    assert machine.problem in found.problem
    assert bool(machine.problem) == bool(found.problem)
    assert found.evidence


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_auto_takes_what_works_and_never_falls_back_in_silence(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = found_on(machine, monkeypatch)
    if machine.problem:
        with pytest.raises(ConfigError, match="does not work"):
            resolve_auto(["device=auto"], lambda: found)
    else:
        words, told = resolve_auto(["device=auto", "model=tiny"], lambda: found)
        assert (words, told) == ([f"device={machine.device}", "model=tiny"], found)


def test_the_reason_stands_once_behind_its_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine("", "cpu", programs=NSMI, env=CANN, npu=CPU_TORCH)
    text = f"npu-smi on PATH, ASCEND_HOME_PATH is set, but {CPU_TORCH.problem}"
    assert found_on(machine, monkeypatch).evidence == (text,)


def test_an_unknown_platform_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"VERL_PLATFORM=npu: unknown; known are cpu, nvidia, amd, huawei"):
        detect(Host({"VERL_PLATFORM": "npu"}, (), (), ()))
