"""What a device needs from the environment of the engine's processes.

The other half of a device, its Hydra overrides, stands in ``configs/device/``.
"""

from collections.abc import Mapping

from recipe.retool.device.stacks import DEFAULT_STACK, check_device
from recipe.retool.device.variables import check_allocator, preload, variables
from recipe.retool.errors import ConfigError

PLATFORM_VARIABLE = "VERL_PLATFORM"
# verl's names of the vendors that fit (values of VERL_PLATFORM); the first is the default. It is always set,
# because verl's own detection falls back to "nvidia" on a host without any accelerator.
_PLATFORMS = {"cpu": ("cpu",), "gpu": ("nvidia", "amd"), "npu": ("huawei",)}
DEVICES = tuple(_PLATFORMS)


def environment(device: str, base: Mapping[str, str], stack: str = DEFAULT_STACK) -> dict[str, str]:
    """The environment for the engine's processes.

    Args:
        device: One of :data:`DEVICES`.
        base: Environment to start from, as a rule ``os.environ``; what is set there wins.
        stack: One of :data:`recipe.retool.device.stacks.STACKS`.

    Returns:
        ``base`` with the variables of the device added.

    Raises:
        ConfigError: Device or stack is unknown, or a variable in ``base`` contradicts them.
    """
    return {**base, **additions(device, base, stack)}


def additions(device: str, base: Mapping[str, str], stack: str = DEFAULT_STACK) -> dict[str, str]:
    """The variables of :func:`environment` alone, with the user's own values where those win."""
    platforms = platforms_of(device)
    check_device(stack, device)
    check_allocator(device, base)
    chosen = base.get(PLATFORM_VARIABLE, "").strip()
    if chosen and chosen.lower() not in platforms:
        raise ConfigError(
            f"{PLATFORM_VARIABLE}={chosen} contradicts device={device}, which means "
            f"{PLATFORM_VARIABLE}={platforms[0]}: unset the variable or choose another device"
        )
    found = {name: base.get(name, value) for name, value in variables(device, stack).items()}
    library = preload(device, base)
    if library:
        found["LD_PRELOAD"] = library
    return {**found, PLATFORM_VARIABLE: chosen or platforms[0]}


def device_of_platform(name: str) -> str:
    """The device that a value of VERL_PLATFORM means; an unknown one is a ConfigError."""
    for device, platforms in _PLATFORMS.items():
        if name.strip().lower() in platforms:
            return device
    known = ", ".join(name for platforms in _PLATFORMS.values() for name in platforms)
    raise ConfigError(f"{PLATFORM_VARIABLE}={name}: unknown; known are {known}")


def platforms_of(device: str) -> tuple[str, ...]:
    """verl's platforms of a device; an unknown name is a ConfigError."""
    try:
        return _PLATFORMS[device]
    except KeyError:
        raise ConfigError(f"device={device}: unknown; known are {', '.join(DEVICES)}") from None
