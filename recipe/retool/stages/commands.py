"""The exact commands of the engines: what `retool` runs, and what --dry-run prints."""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.retool.device.profiles import environment
from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.wire import TOKEN_VARIABLE

DEFAULT_DEVICE = "cpu"
_OWN_VARIABLES = ("RETOOL_", "VERL_", "VLLM_", "TOKENIZERS_")
_SECRETS = (TOKEN_VARIABLE,)  # the line is printed, and kept in the run folder


@dataclass(frozen=True)
class EngineCommand:
    """A command line with its environment."""

    argv: tuple[str, ...]
    env: Mapping[str, str]

    def shell(self) -> str:
        """The command as a shell line that works elsewhere: with all variables of recipe and engines.

        Secrets are left out: they have to be in the environment of that shell.
        """
        known = {name: value for name, value in self.env.items() if name not in _SECRETS}
        ours = [(name, value) for name, value in sorted(known.items()) if name.startswith(_OWN_VARIABLES)]
        words = [f"{name}={shlex.quote(value)}" for name, value in ours]
        return " ".join([*words, *map(shlex.quote, self.argv)])


def home() -> Path:
    """The folder that holds ``configs/`` (RETOOL_HOME, or the checkout this package lies in).

    Raises:
        ConfigError: There is none.
    """
    folder = Path(os.environ.get("RETOOL_HOME") or Path(__file__).resolve().parents[3])
    if not (folder / "configs" / "retool_ppo.yaml").is_file():
        raise ConfigError(
            f"no configs/retool_ppo.yaml in {folder}: set RETOOL_HOME to a checkout of the recipe"
        )
    return folder.resolve()


def device_of(overrides: Sequence[str]) -> str:
    """The device named by the Hydra overrides (``device=npu``), or the default."""
    chosen = [word.split("=", 1)[1] for word in overrides if word.startswith(("device=", "sft/device="))]
    return chosen[-1] if chosen else DEFAULT_DEVICE


def engine_env(overrides: Sequence[str], extra: Mapping[str, str]) -> dict[str, str]:
    """Environment of an engine: the user's, then the device's, then ``extra``."""
    return {**environment(device_of(overrides), os.environ), "RETOOL_HOME": str(home()), **extra}


def ppo_command(overrides: Sequence[str], extra_env: Mapping[str, str]) -> EngineCommand:
    """``python -m verl.trainer.main_ppo`` with our config."""
    words = [sys.executable, "-m", "verl.trainer.main_ppo", "--config-dir", str(home() / "configs")]
    return EngineCommand(
        (*words, "--config-name", "retool_ppo", *overrides), engine_env(overrides, extra_env)
    )


def sft_overrides(overrides: Sequence[str]) -> list[str]:
    """``device=`` and ``model=`` as the SFT config names its groups; verl's has a ``model`` of its own."""
    return [f"sft/{word}" if word.startswith(("device=", "model=")) else word for word in overrides]


def sft_command(overrides: Sequence[str], ranks: int, extra_env: Mapping[str, str]) -> EngineCommand:
    """``torchrun -m verl.trainer.sft_trainer`` with our config (overrides as of ``sft_overrides``)."""
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={ranks}"]
    words += ["--local-addr=127.0.0.1"]  # not the name of the host, which may not resolve in a container
    words += ["-m", "verl.trainer.sft_trainer", "--config-dir", str(home() / "configs")]
    return EngineCommand(
        (*words, "--config-name", "retool_sft", *overrides), engine_env(overrides, extra_env)
    )


def merge_command(shards: Path, output: Path) -> EngineCommand:
    """``python -m verl.model_merger merge`` for FSDP shards; it runs on the CPU of any host."""
    words = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    return EngineCommand((*words, "--local_dir", str(shards), "--target_dir", str(output)), dict(os.environ))


def assign(key: str, value: object) -> str:
    """``key='value'`` in Hydra's grammar, for values such as paths that may hold any character."""
    # In Hydra's quotes a backslash is itself, except before a quote.
    text = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + (r"\'" if m[2] else ""), str(value))
    return f"{key}='{text}'"
