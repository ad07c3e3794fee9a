"""The environment that each device gets."""

import pytest

from recipe.retool.device.profiles import DEVICES, environment
from recipe.retool.errors import ConfigError


def test_devices_are_the_three() -> None:
    assert DEVICES == ("cpu", "gpu", "npu")


@pytest.mark.parametrize(("device", "platform"), [("cpu", "cpu"), ("gpu", "nvidia"), ("npu", "huawei")])
def test_platform_is_always_chosen(device: str, platform: str) -> None:
    assert environment(device, {})["VERL_PLATFORM"] == platform


def test_users_values_win() -> None:
    base = {"VLLM_CPU_KVCACHE_SPACE": "4", "HOME": "/home/x"}
    found = environment("cpu", base)
    assert found["VLLM_CPU_KVCACHE_SPACE"] == "4"
    assert found["HOME"] == "/home/x"
    assert found["VLLM_TARGET_DEVICE"] == "cpu"
    assert base == {"VLLM_CPU_KVCACHE_SPACE": "4", "HOME": "/home/x"}


def test_cpu_variables_stay_on_the_cpu() -> None:
    assert not [name for name in environment("gpu", {}) if name.startswith("VLLM_")]


def test_an_amd_gpu_is_a_gpu() -> None:
    assert environment("gpu", {"VERL_PLATFORM": "amd"})["VERL_PLATFORM"] == "amd"


def test_empty_platform_counts_as_unset() -> None:
    assert environment("cpu", {"VERL_PLATFORM": " "})["VERL_PLATFORM"] == "cpu"


def test_contradiction_names_both_sides() -> None:
    with pytest.raises(ConfigError, match=r"VERL_PLATFORM=huawei contradicts device=cpu"):
        environment("cpu", {"VERL_PLATFORM": "huawei"})


def test_unknown_device_names_the_known() -> None:
    with pytest.raises(ConfigError, match=r"tpu.*cpu, gpu, npu"):
        environment("tpu", {})


@pytest.mark.parametrize("device", DEVICES)
def test_same_result_when_applied_twice(device: str) -> None:
    once = environment(device, {})
    assert environment(device, once) == once
