"""The checks of `retool doctor`, each with what it must accept and what it must refuse."""

from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from recipe.retool.device import cli, engine_checks, host_checks, package_checks
from recipe.retool.device.checks import Check, Level, error, ok, render, warning
from recipe.retool.device.detect import Detection
from recipe.retool.device.profiles import DEVICES

CPU_HOST = Detection("cpu", 0, ("no sign of a GPU or an NPU",))
GPU_HOST = Detection("gpu", 8, ("/dev/nvidia0",))
BROKEN_NPU = Detection("npu", 0, ("/dev/davinci0",), "source set_env.sh")


@pytest.mark.parametrize(
    ("version", "level"),
    [((3, 9), Level.ERROR), ((3, 10), Level.OK), ((3, 12), Level.OK), ((3, 13), Level.ERROR)],
)
def test_python_versions(version: tuple[int, int], level: Level) -> None:
    assert host_checks.check_python(version).level is level


def test_other_systems_are_refused() -> None:
    assert host_checks.check_system("Darwin").level is Level.ERROR
    assert host_checks.check_system("Linux").level is Level.OK


@pytest.mark.parametrize(
    ("device", "detection", "level"),
    [
        ("cpu", CPU_HOST, Level.OK),
        ("cpu", GPU_HOST, Level.OK),
        ("gpu", GPU_HOST, Level.OK),
        ("gpu", CPU_HOST, Level.ERROR),
        ("npu", BROKEN_NPU, Level.ERROR),
    ],
)
def test_device(device: str, detection: Detection, level: Level) -> None:
    assert host_checks.check_device(device, detection).level is level


def test_broken_device_comes_with_its_fix() -> None:
    assert host_checks.check_device("npu", BROKEN_NPU).fix == "source set_env.sh"


def test_contradicting_environment() -> None:
    assert host_checks.check_environment("cpu", {"VERL_PLATFORM": "huawei"}).level is Level.ERROR
    assert host_checks.check_environment("cpu", {}).level is Level.OK


@pytest.mark.parametrize(("kib", "level"), [(1_000_000, Level.WARNING), (20_000_000, Level.OK)])
def test_memory(tmp_path: Path, kib: int, level: Level) -> None:
    path = tmp_path / "meminfo"
    path.write_text(f"MemTotal: 30000000 kB\nMemAvailable: {kib} kB\n")
    assert host_checks.check_memory(path).level is level


def test_absent_files_are_warnings(tmp_path: Path) -> None:
    assert host_checks.check_memory(tmp_path / "none").level is Level.WARNING
    assert host_checks.check_shared_memory(tmp_path / "none").level is Level.WARNING


VERSIONS = [("2.13.0+cpu", Level.OK), ("2.12.0", Level.WARNING), (None, Level.ERROR)]


@pytest.mark.parametrize(("installed", "level"), VERSIONS)
def test_versions(installed: str | None, level: Level) -> None:
    def version(_: str) -> str:
        if installed is None:
            raise metadata.PackageNotFoundError
        return installed

    assert package_checks.check_version(Requirement("torch==2.13.0"), "cpu", version).level is level


@pytest.mark.parametrize("device", DEVICES)
def test_requirements_come_from_the_package(device: str) -> None:
    names = [one.name for one in package_checks.requirements(device)]
    assert {"torch", "verl", "transformers", "ray", "TransferQueue", "sympy"} <= set(names)
    assert len(names) == len(set(names))
    assert "pytest" not in names


def test_plain_triton_beside_triton_ascend_is_an_error() -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    assert package_checks.check_triton(lambda _: "3.6.0").level is Level.ERROR
    assert package_checks.check_triton(absent).level is Level.OK


def test_namespace_intruder_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "recipe"
    folder.mkdir()
    assert package_checks.check_namespace([str(tmp_path)]).level is Level.OK
    (folder / "__init__.py").touch()
    check = package_checks.check_namespace(["/nowhere", str(tmp_path)])
    assert check.level is Level.ERROR
    assert str(folder) in check.found


def test_missing_plugin_is_an_error_on_the_cpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_checks.metadata, "entry_points", lambda group: ())
    assert {check.level for check in package_checks.check_entry_points("cpu")} == {Level.ERROR}
    assert {check.level for check in package_checks.check_entry_points("gpu")} == {Level.WARNING}


PLATFORM_PROGRAMS = [
    ("print('noise'); print('platform cpu')", Level.OK),
    ("print('platform cuda')", Level.ERROR),
    ("raise ImportError('no verl')", Level.ERROR),
]


@pytest.mark.parametrize(("program", "level"), PLATFORM_PROGRAMS)
def test_platform_check(monkeypatch: pytest.MonkeyPatch, program: str, level: Level) -> None:
    monkeypatch.setattr(engine_checks, "_VERL_PROGRAM", program)
    assert engine_checks.check_verl_platform().level is level


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "not-an-address"])
def test_dead_sandbox_is_an_error(url: str) -> None:
    assert [check.level for check in engine_checks.check_sandboxes(url)] == [Level.ERROR]


def test_live_sandbox() -> None:
    from recipe.retool.sandbox.embedded import EmbeddedSandbox

    with EmbeddedSandbox(workers=1) as sandbox:
        checks = engine_checks.check_sandboxes(f"{sandbox.url},http://127.0.0.1:9")
        assert [check.level for check in checks] == [Level.OK, Level.ERROR]


def test_table_names_the_fix_and_counts() -> None:
    text = render([ok("a", "1"), warning("b", "2", "mend b"), error("c", "3", "mend c")])
    assert "-> mend b" in text
    assert "-> mend c" in text
    assert text.endswith("1 ok, 1 warning, 1 error\n")


@pytest.mark.parametrize(("checks", "code"), [([ok("a", "1")], 0), ([error("a", "1", "fix")], 1)])
def test_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], checks: list[Check], code: int
) -> None:
    monkeypatch.setattr(cli, "examine", lambda *_: checks)
    assert cli.main([]) == code
    assert capsys.readouterr().out.splitlines()[0].split() == [checks[0].level.value, "a", "1"]
