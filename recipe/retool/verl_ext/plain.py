"""Nodes of verl's config as plain values, for rooms that know no OmegaConf."""

from typing import Any

from omegaconf import OmegaConf


def plain(node: Any) -> Any:
    """The node with every interpolation replaced; None stays None."""
    return None if node is None else OmegaConf.to_container(node, resolve=True)
