"""Composes a Hydra config in this process, so that a mistake is found before any engine starts."""

import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from recipe.retool.errors import ConfigError
from recipe.retool.stages.commands import home

_UNKNOWN_KEY = re.compile(r"Could not override '([^']+)'")
_UNKNOWN_NAME = re.compile(r"Could not find '(.+)/([^/']*)'\s+Available options in '[^']+':\n((?:\t.+\n)+)")


def compose_config(name: str, overrides: Sequence[str], verl_config: Path | None = None) -> DictConfig:
    """Compose ``configs/<name>.yaml`` over verl's own config, as verl's entry points do.

    Args:
        name: "retool_ppo" or "retool_sft".
        overrides: Hydra overrides.
        verl_config: Folder of verl's config; default: that of the installed verl.

    Raises:
        ConfigError: Hydra's message, with the key that is unknown or ill-formed.
    """
    os.environ.setdefault("RETOOL_HOME", str(home()))
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(config_dir=str(home() / "configs"), version_base=None):
            path = f"hydra.searchpath=[file://{verl_config or _verl_config()}]"
            return compose(name, overrides=[path, *overrides])
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(_plainer(str(error)) or f"configs/{name}.yaml: {error}") from error


def _plainer(message: str) -> str:
    """What Hydra means by its two most frequent messages; empty for any other."""
    key, name = _UNKNOWN_KEY.search(message), _UNKNOWN_NAME.search(message)
    if key:
        return f"{key[1]}: no such key or group; is it misspelt? (+{key[1]}=... adds a new one)"
    if name:
        return f"{name[1]}={name[2]}: unknown; known are {', '.join(name[3].split())}"
    return ""


def resolved(config: DictConfig) -> dict[str, Any]:
    """The config as plain values, every interpolation replaced.

    Raises:
        ConfigError: A mandatory value is missing, or an interpolation leads nowhere.
    """
    try:
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(f"{getattr(error, 'full_key', '')}: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError("the config is not a mapping")
    return {str(key): value for key, value in values.items()}


def write_resolved(config: DictConfig, target: Path) -> None:
    """Write the resolved config as YAML."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(OmegaConf.to_yaml(OmegaConf.create(resolved(config))))


def check_paths(values: dict[str, Any], keys: Sequence[str], optional: Sequence[str] = ()) -> None:
    """Refuse local paths that do not exist; remote ones pass, and for a model a hub name (owner/name).

    Args:
        values: A resolved config.
        keys: Keys that must be set.
        optional: Keys that may be absent or null.

    Raises:
        ConfigError: Names the key and the path.
    """
    for key in (*keys, *optional):
        value: Any = values
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        for path in value if isinstance(value, list) else [value]:
            if path is None and key in optional:
                continue
            if path is None or not str(path).strip():
                raise ConfigError(f"{key} is not set: add {key}=PATH")
            if key.endswith("_files") and Path(str(path)).expanduser().is_dir():
                raise ConfigError(f"{key}={path}: a folder; name its parquet files, [A,B] for several")
            if not _reachable(str(path), hub=key.endswith("model.path")):
                raise ConfigError(
                    f"{key}={path}: no such file or folder (relative paths start at {Path.cwd()})"
                )


def is_hub_name(path: str) -> bool:
    """Whether ``path`` can only be a model of the hub: owner/name, and no folder of that owner here."""
    return (
        path.count("/") == 1
        and not path.startswith((".", "~", "/"))
        and not Path(path.partition("/")[0]).exists()
    )


def _reachable(path: str, hub: bool) -> bool:
    return "://" in path or Path(path).expanduser().exists() or (hub and is_hub_name(path))


def _verl_config() -> Path:
    spec = importlib.util.find_spec("verl")  # does not import it
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError("verl is not installed: run `bash scripts/quickstart.sh`, or see docs/install.rst")
    return Path(next(iter(spec.submodule_search_locations))) / "trainer" / "config"
