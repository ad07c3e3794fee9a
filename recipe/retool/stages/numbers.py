"""Numbers of a composed config, read so that a wrong one is named with its key."""

from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.records.files import look_up


def whole(values: dict[str, Any], key: str, least: int = 1) -> int:
    """A whole number.

    Raises:
        ConfigError: It is something else, or less than ``least``.
    """
    number = look_up(values, key)
    if not isinstance(number, int) or isinstance(number, bool) or number < least:
        raise ConfigError(f"{key}={number}: must be a whole number, {least} or more; set {key}=NUMBER")
    return number


def share(values: dict[str, Any], key: str) -> float:
    """A share: above 0, at most 1.

    Raises:
        ConfigError: It is something else.
    """
    number = look_up(values, key)
    if not isinstance(number, int | float) or isinstance(number, bool) or not 0 < number <= 1:
        raise ConfigError(f"{key}={number}: must be a number above 0 and at most 1; set {key}=0.5")
    return float(number)
