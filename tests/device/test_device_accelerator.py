"""Checks of hosts with GPUs or NPUs, on made-up hosts."""

import json
import socket
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from recipe.retool.device import accelerator_checks, cli, package_checks
from recipe.retool.device.checks import Level, ok, render_json, warning
from recipe.retool.device.env_cli import main as env_main
from recipe.retool.device.memory import device_memory
from recipe.retool.device.profiles import additions
from recipe.retool.device.ray_cluster import check_ray_port
from recipe.retool.device.stacks import SPARE, STACKS, stack_of
from recipe.retool.device.variables import obsolete, preload
from recipe.retool.errors import ConfigError


def nothing(name: str) -> str:
    raise metadata.PackageNotFoundError(name)


VISIBLE = [
    ("gpu", {}, 8, Level.OK),
    ("gpu", {"CUDA_VISIBLE_DEVICES": "0,1"}, 2, Level.OK),
    ("gpu", {"CUDA_VISIBLE_DEVICES": "0,1"}, 8, Level.ERROR),
    ("gpu", {"CUDA_VISIBLE_DEVICES": "0,0"}, 2, Level.ERROR),
    ("gpu", {"CUDA_VISIBLE_DEVICES": ""}, 0, Level.ERROR),
    ("npu", {"CUDA_VISIBLE_DEVICES": "0"}, 8, Level.OK),
    ("npu", {"ASCEND_RT_VISIBLE_DEVICES": "0,1,2,3"}, 8, Level.ERROR),
]


@pytest.mark.parametrize(("device", "env", "usable", "level"), VISIBLE)
def test_visible_devices(device: str, env: dict[str, str], usable: int, level: Level) -> None:
    assert accelerator_checks.check_visible(device, env, usable).level is level


CANN = [
    ("verl_0_9", "9.1.0", Level.OK),
    ("verl_0_9", "8.3.RC1", Level.WARNING),
    ("verl_0_6", "8.3.RC1", Level.OK),
    ("verl_0_6", "8.3.RC2", Level.OK),
    ("verl_0_6", "9.1.0", Level.WARNING),
    ("verl_0_9", None, Level.WARNING),
]


@pytest.mark.parametrize(("stack", "version", "level"), CANN)
def test_the_version_of_cann(tmp_path: Path, stack: str, version: str | None, level: Level) -> None:
    file = tmp_path / "aarch64-linux" / "ascend_toolkit_install.info"
    if version:
        file.parent.mkdir()
        file.write_text(f"package_name=Ascend-cann-toolkit\nversion={version}\narch=aarch64\n")
    check = accelerator_checks.check_toolkit(stack, {"ASCEND_HOME_PATH": str(tmp_path)}, "aarch64")
    assert check.level is level


def test_cann_and_nnal_that_were_not_sourced_are_errors() -> None:
    assert accelerator_checks.check_toolkit("verl_0_9", {}).level is Level.ERROR
    assert accelerator_checks.check_nnal({}).level is Level.ERROR


def test_a_port_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert check_ray_port(server.getsockname()[1]).level is Level.WARNING


@pytest.mark.parametrize(
    "value", ["expandable_segments:True", "max_split_size_mb:64, expandable_segments: true"]
)
def test_an_allocator_that_cannot_sleep_is_refused(value: str) -> None:
    env = {"PYTORCH_NPU_ALLOC_CONF": value}
    with pytest.raises(ConfigError, match="PYTORCH_NPU_ALLOC_CONF"):
        additions("npu", env)
    levels = [check.level for check in accelerator_checks.check_variables("npu", "verl_0_9", env)]
    assert Level.ERROR in levels
    assert additions("gpu", env)


@pytest.mark.parametrize("name", ["VLLM_USE_V1", "TORCHDYNAMO_DISABLE", "VLLM_ENABLE_GRAPH_MODE"])
def test_a_variable_of_the_guide_that_is_obsolete_is_told(name: str) -> None:
    assert name in obsolete("npu", "verl_0_9", {name: "1"})[0]


JEMALLOC = "/usr/local/lib/libjemalloc.so.2"
PRELOAD: list[tuple[str, Mapping[str, str], tuple[str, ...], str | None]] = [
    ("npu", {}, (JEMALLOC,), JEMALLOC),
    ("npu", {}, (), None),
    ("npu", {"LD_PRELOAD": "/mine.so"}, (JEMALLOC,), None),
    ("gpu", {}, (JEMALLOC,), None),
]


@pytest.mark.parametrize(("device", "env", "there", "wanted"), PRELOAD)
def test_jemalloc_only_where_it_is(
    device: str, env: Mapping[str, str], there: tuple[str, ...], wanted: str | None
) -> None:
    assert preload(device, env, lambda path: path in there) == wanted


def test_a_preload_of_nothing_is_told() -> None:
    checks = accelerator_checks.check_variables("npu", "verl_0_9", {"LD_PRELOAD": "/no/lib.so"})
    assert [check.level for check in checks] == [Level.WARNING]


def npu_table(name: str) -> str:
    """An answer of `npu-smi info`: the layout of published ones by card and driver, figures of ours."""
    return (Path(__file__).parent / "npu_smi" / f"{name}.txt").read_text()


MEMORY = [
    ("gpu", "qwen2_5_7b", "81920\n24576\n", 24.0, "nvidia-smi"),
    ("gpu", "qwen2_5_7b", "[N/A]\n", 80.0, "assumed"),  # memory that it shares with the host
    ("gpu", "qwen2_5_7b", "", 80.0, "assumed"),
    ("gpu", "qwen3_0_6b", "", 24.0, "assumed"),
    ("npu", "qwen3_0_6b", "", 64.0, "assumed"),
    ("npu", "qwen2_5_7b", npu_table("a2_25.5"), 64.0, "npu-smi"),
    ("npu", "qwen2_5_7b", npu_table("a2_26.0_one_of_32"), 32.0, "npu-smi"),
    ("npu", "qwen2_5_7b", npu_table("a3_25.3"), 64.0, "npu-smi"),
    ("npu", "qwen2_5_7b", npu_table("910a_21.0"), 32.0, "npu-smi"),
    ("npu", "qwen2_5_7b", npu_table("310p_25.2"), 43693 / 1024, "npu-smi"),  # DDR is all it has
    ("npu", "qwen2_5_7b", "dcmi module initialize failed. ret is -8005\n", 64.0, "assumed"),  # a container
]


@pytest.mark.parametrize(("device", "model", "answer", "gib", "origin"), MEMORY)
def test_memory_of_a_device(device: str, model: str, answer: str, gib: float, origin: str) -> None:
    found = device_memory(device, model, lambda _: answer)
    assert (found.gib, origin in found.origin) == (gib, True)


def test_memory_of_this_host() -> None:
    assert device_memory("cpu").gib > 1


PAIRS = [(stack, device) for stack in STACKS for device in stack_of(stack).devices]


@pytest.mark.parametrize(("stack", "device"), PAIRS)
def test_a_stack_names_each_package_once(stack: str, device: str) -> None:
    names = [one.name for one in package_checks.requirements(device, stack)]
    assert {"torch", "verl", "transformers", "ray", "sympy"} <= set(names)
    assert len(names) == len(set(names))


def test_the_old_stack_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"verl 0\.6\.1 has gpu, npu; choose stack=verl_0_9"):
        package_checks.requirements("cpu", "verl_0_6")


@pytest.mark.parametrize(("stack", "device"), [pair for pair in PAIRS if pair[1] != "cpu"])
def test_the_install_list_agrees_with_the_stack(stack: str, device: str) -> None:
    scripts = Path(__file__).resolve().parents[2] / "scripts"
    text = (scripts / stack_of(stack).lists[device]).read_text()
    text += (scripts / f"setup_{device}.sh").read_text()
    listed = [line for line in text.splitlines() if line and not line.startswith("#")]
    for wanted in map(Requirement, stack_of(stack).packages[device]):
        pins = [str(one).removeprefix("==") for one in wanted.specifier if one.operator == "=="]
        assert all(pin in text for pin in pins), wanted
    for line in (line for line in listed if line[0].isalpha() and "==" in line and " " not in line):
        own = Requirement(line)
        for wanted in map(Requirement, stack_of(stack).packages[device]):
            if wanted.name.lower() == own.name.lower():
                version = str(own.specifier).removeprefix("==")
                assert wanted.specifier.contains(version, prereleases=True), (wanted, own)


@pytest.mark.parametrize("stack", STACKS)
def test_the_npu_list_brings_what_vllm_ascend_asks_for(stack: str) -> None:
    scripts = Path(__file__).resolve().parents[2] / "scripts"
    lines = (scripts / stack_of(stack).lists["npu"]).read_text().splitlines()
    listed = {Requirement(line).name for line in lines if line and not line.startswith("#")}
    script = (scripts / "setup_npu.sh").read_text()
    for wanted in map(Requirement, stack_of(stack).packages["npu"]):
        assert wanted.name in listed or f"{wanted.name}==" in script or wanted.name == "vllm", wanted
        if wanted.name in SPARE:
            assert package_checks.check_version(wanted, "npu", nothing).level is Level.WARNING
    assert package_checks.check_version(Requirement("numba"), "npu", nothing).level is Level.ERROR


def test_env_prints_lines_that_a_shell_reads(capsys: pytest.CaptureFixture[str]) -> None:
    assert env_main(["device=npu", "stack=verl_0_9"]) == 0
    assert "export HCCL_EXEC_TIMEOUT=3600\n" in capsys.readouterr().out


def test_env_refuses_other_words() -> None:
    with pytest.raises(ConfigError, match="colour=red"):
        env_main(["colour=red"])


def test_json_holds_the_same(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    checks = [ok("a", "1"), warning("b", "2", "mend")]
    monkeypatch.setattr(cli, "examine", lambda *_: checks)
    assert cli.main(["--json"]) == 0
    out = capsys.readouterr().out
    assert out == render_json(checks)
    assert json.loads(out)[1] == {"name": "b", "level": "warning", "found": "2", "fix": "mend"}


def test_device_and_stack_of_a_planned_run_count(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []
    monkeypatch.setattr(cli, "examine", lambda *words: seen.extend(words) or [])
    cli.main(["device=npu", "stack=verl_0_6", "model=qwen2_5_7b"])
    assert seen == ["npu", None, "verl_0_6", ["model=qwen2_5_7b"]]


def test_an_unknown_device_comes_with_the_known() -> None:
    with pytest.raises(ConfigError, match="known are cpu, gpu, npu"):
        package_checks.check_device("verl_0_9", "tpu")


def test_json_of_an_unknown_platform_is_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VERL_PLATFORM", "npu")
    assert cli.main(["--json"]) == 1
    (check,) = json.loads(capsys.readouterr().out)
    assert (check["level"], "known are cpu" in check["fix"]) == ("error", True)
    with pytest.raises(ConfigError, match="VERL_PLATFORM=npu"):
        cli.main([])
