"""The tools of a run, made once before the engine: a config that cannot work is refused here, not by Ray."""

from pathlib import Path
from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.records.files import look_up
from recipe.retool.tools.registry import tool_class

_KEY = "actor_rollout_ref.rollout.multi_turn.tool_config_path"
_OWN = "recipe.retool.verl_ext.tool."
_DEFAULTS = {"CodeInterpreterTool": "code_interpreter"}


def check_tools(values: dict[str, Any], sandbox_url: str) -> None:
    """Make each tool of the recipe that the tool config names, as the workers will.

    Args:
        values: A resolved RL config.
        sandbox_url: The sandbox of the run, for tools whose config names none.

    Raises:
        ConfigError: Names the file, and the key or the server and the fix.
    """
    from omegaconf import OmegaConf

    path = look_up(values, _KEY)
    if not path or not Path(str(path)).is_file():
        return
    for entry in OmegaConf.load(str(path)).get("tools", ()):
        name = str(entry.class_name)
        if not name.startswith(_OWN):
            continue
        config: Any = OmegaConf.to_container(entry.config, resolve=True)
        config.setdefault("tool", _DEFAULTS.get(name.removeprefix(_OWN), ""))
        config["sandbox_url"] = config.get("sandbox_url") or sandbox_url
        try:
            tool_class(str(config["tool"])).from_config(config)
        except ConfigError as error:
            raise ConfigError(f"{_KEY}={path}: {error}") from error
