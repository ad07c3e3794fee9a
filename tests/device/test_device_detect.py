"""Detection from made-up hosts; in the place of torch stand scripted probes and small programs."""

from collections.abc import Callable, Mapping

import pytest

from recipe.retool.device import detect as module
from recipe.retool.device.detect import Host, Probe, detect, evidence_of, look_at_host, probe

Answers = Callable[[Mapping[str, Probe]], list[str]]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    """Give probe() fixed answers; the list returned tells which devices were asked for."""

    def install(by_device: Mapping[str, Probe]) -> list[str]:
        asked: list[str] = []

        def fake(device: str, env: Mapping[str, str], seconds: float = 0) -> Probe:
            asked.append(device)
            return by_device[device]

        monkeypatch.setattr(module, "probe", fake)
        return asked

    return install


def host(
    env: Mapping[str, str] | None = None,
    files: tuple[str, ...] = (),
    programs: tuple[str, ...] = (),
    modules: tuple[str, ...] = (),
) -> Host:
    return Host(env or {}, files, programs, modules)


def test_bare_host_is_a_cpu_and_asks_nobody(answers: Answers) -> None:
    asked = answers({})
    found = detect(host())
    assert (found.device, found.count, found.problem) == ("cpu", 0, "")
    assert asked == []


def test_working_gpu(answers: Answers) -> None:
    answers({"gpu": Probe(8)})
    found = detect(host(files=("/dev/nvidia0",), programs=("nvidia-smi",)))
    assert (found.device, found.count) == ("gpu", 8)
    assert found.evidence == ("/dev/nvidia0", "nvidia-smi on PATH")


def test_working_npu_beats_a_stray_nvidia_smi(answers: Answers) -> None:
    answers({"gpu": Probe(0, "no device"), "npu": Probe(8)})
    found = detect(host(files=("/dev/davinci0",), programs=("nvidia-smi", "npu-smi")))
    assert (found.device, found.count) == ("npu", 8)


def test_broken_accelerator_is_not_overlooked(answers: Answers) -> None:
    answers({"npu": Probe(0, "CANN is not in the environment")})
    found = detect(host(files=("/dev/davinci0",)))
    assert (found.device, found.count, found.problem) == ("npu", 0, "CANN is not in the environment")


def test_stray_program_without_device_is_a_cpu_that_says_why(answers: Answers) -> None:
    answers({"gpu": Probe(0, "torch sees no device")})
    found = detect(host(programs=("nvidia-smi",)))
    assert found.device == "cpu"
    assert found.problem == ""
    assert "nvidia-smi on PATH, but torch sees no device" in found.evidence


@pytest.mark.parametrize("value", ["", "-1"])
def test_hidden_gpus_are_no_evidence(value: str) -> None:
    assert evidence_of(host({"CUDA_VISIBLE_DEVICES": value}, files=("/dev/nvidia0",)), "gpu") == ()


def test_visible_gpus_are_evidence() -> None:
    assert evidence_of(host({"CUDA_VISIBLE_DEVICES": "0"}, files=("/dev/nvidia0",)), "gpu")


def test_npu_evidence_from_environment_and_modules() -> None:
    facts = evidence_of(host({"ASCEND_HOME_PATH": "/opt/cann"}, modules=("torch_npu",)), "npu")
    assert facts == ("ASCEND_HOME_PATH is set", "torch_npu is installed")


PROBE_PROGRAMS = [
    ("n = 2", Probe(2)),
    ("n = 0", Probe(0, "torch sees no device: driver, container flags, or a CPU build")),
    ("import no_such_package_x", Probe(0, "ModuleNotFoundError: No module named 'no_such_package_x'")),
    ("import os; os._exit(3)", Probe(0, "the probe died without a message")),
]


@pytest.mark.parametrize(("program", "expected"), PROBE_PROGRAMS)
def test_probe_in_a_subprocess(monkeypatch: pytest.MonkeyPatch, program: str, expected: Probe) -> None:
    monkeypatch.setattr(module, "_PROBES", {"gpu": program})
    assert probe("gpu", {}) == expected


def test_probe_explains_missing_cann(monkeypatch: pytest.MonkeyPatch) -> None:
    message = "Failed to load the backend extension: torch_npu"
    monkeypatch.setattr(module, "_PROBES", {"npu": f"raise RuntimeError({message!r})"})
    assert "set_env.sh" in probe("npu", {}).problem


def test_probe_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROBES", {"gpu": "import time; time.sleep(60)"})
    assert "no answer in 0.3 s" in probe("gpu", {}, seconds=0.3).problem


def test_looking_at_this_host_imports_no_torch() -> None:
    import subprocess
    import sys

    program = (
        "import sys; from recipe.retool.device.detect import look_at_host; look_at_host();"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0
    assert isinstance(look_at_host(), Host)
