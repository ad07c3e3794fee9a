"""Which devices a run has here, and what ``device=auto`` decided: on the screen and in the run folder."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from recipe.retool.device.detect import CPU, Detection, find
from recipe.retool.device.ray_cluster import cluster_address
from recipe.retool.errors import ConfigError
from recipe.retool.records.files import look_up
from recipe.retool.stages.numbers import whole
from recipe.retool.stages.progress import say


def check_devices(
    device: str, values: dict[str, Any], found: Detection | None, dry_run: bool
) -> Detection | None:
    """Compare the devices that a run asks of a node with those that torch can use here, where one can tell.

    A device that was named may be that of another machine: a dry run then only warns. A Ray cluster that is
    there already knows its devices itself.

    Args:
        device: The chosen device.
        values: A resolved config.
        found: What ``device=auto`` found; None when the device was named.
        dry_run: Whether nothing is going to start.

    Returns:
        What was found here; None when nobody looked.

    Raises:
        ConfigError: torch can use fewer devices, or none of those that are there.
    """
    if found is not None:
        check_count(values, found.count)
        return found
    joins = "ray_kwargs" in values and cluster_address(wish=look_up(values, "ray_kwargs.ray_init.address"))
    if device == CPU or joins:
        return None
    seen = find(device, always=not dry_run)
    try:
        if seen is not None and seen.problem:
            raise ConfigError(
                f"device={device} ({'; '.join(seen.evidence)}) does not work here: {seen.problem}; mend it, "
                "or choose the device that is here (device=auto finds it)"
            )
        check_count(values, seen.count if seen else None)
    except ConfigError as problem:
        if not dry_run:
            raise
        say(f"  warning: {problem}")
    return seen


def check_count(values: dict[str, Any], usable: int | None) -> None:
    """Refuse more devices a node than torch can use here: Ray then waits for them without an end.

    Args:
        values: A resolved config.
        usable: Devices of this node; None or 0 when that is not known.

    Raises:
        ConfigError: Names the key and the number.
    """
    asked = whole(values, "trainer.n_gpus_per_node")
    if usable and asked > usable:
        raise ConfigError(
            f"trainer.n_gpus_per_node={asked}: torch can use {usable} here; set "
            f"trainer.n_gpus_per_node={usable}"
        )


def tell_detection(found: Detection | None) -> None:
    """Print what was chosen and why."""
    if found is not None:
        say(f"  device=auto: {found.device}, because {'; '.join(found.evidence)}")


def write_detection(found: Detection | None, folder: Path) -> None:
    """Keep it beside the config."""
    if found is not None:
        (folder / "device.json").write_text(json.dumps(asdict(found), indent=2))
