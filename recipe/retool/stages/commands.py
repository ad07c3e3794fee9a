"""The exact commands of the engines: what `retool` runs, and what --dry-run prints."""

import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.retool.device.profiles import additions
from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.wire import TOKEN_VARIABLE
from recipe.retool.stages.choices import choices_of

_OWN_VARIABLES = ("RETOOL_", "VERL_", "VLLM_", "TOKENIZERS_")
_SECRETS = (TOKEN_VARIABLE, "VLLM_API_KEY")  # the line is printed, and kept in the run folder


@dataclass(frozen=True)
class EngineCommand:
    """A command line with its environment.

    Attributes:
        argv: The command line.
        env: The whole environment of the process.
        added: Names of the variables that the device and the stack put there.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    added: frozenset[str] = frozenset()

    def shell(self) -> str:
        """The command as a shell line that works elsewhere: with all variables of recipe and engines.

        Secrets are left out: they have to be in the environment of that shell.
        """
        ours = [
            (name, value)
            for name, value in sorted(self.env.items())
            if name not in _SECRETS and (name in self.added or name.startswith(_OWN_VARIABLES))
        ]
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


def engine_command(argv: Sequence[str], overrides: Sequence[str], extra: Mapping[str, str]) -> EngineCommand:
    """A command with the environment of an engine: the user's, then the device's, then ``extra``."""
    chosen = choices_of(overrides)
    added = additions(chosen.device, os.environ, chosen.stack)
    env = {**os.environ, **added, "RETOOL_HOME": str(home()), **extra}
    return EngineCommand(tuple(argv), env, frozenset(added))


def ppo_command(overrides: Sequence[str], extra_env: Mapping[str, str]) -> EngineCommand:
    """``python -m verl.trainer.main_ppo`` with our config."""
    words = [sys.executable, "-m", "verl.trainer.main_ppo", "--config-dir", str(home() / "configs")]
    return engine_command((*words, "--config-name", "retool_ppo", *overrides), overrides, extra_env)


def sft_overrides(overrides: Sequence[str]) -> list[str]:
    """``device=``, ``model=``, ``stack=`` as the SFT config names them; verl's has a ``model``."""
    groups = ("device=", "model=", "stack=")
    return [f"sft/{word}" if word.startswith(groups) else word for word in overrides]


def sft_command(
    overrides: Sequence[str], ranks: int, extra_env: Mapping[str, str], nodes: int = 1
) -> EngineCommand:
    """``torchrun -m verl.trainer.sft_trainer`` with our config (overrides as of ``sft_overrides``).

    Args:
        overrides: Hydra overrides.
        ranks: Processes a node.
        extra_env: Further variables.
        nodes: Nodes; with more than one, NODE_RANK and MASTER_ADDR must be set on each.

    Raises:
        ConfigError: One of these is missing.
    """
    words = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={ranks}", *_meeting(nodes)]
    words += ["-m", "verl.trainer.sft_trainer", "--config-dir", str(home() / "configs")]
    return engine_command((*words, "--config-name", "retool_sft", *overrides), overrides, extra_env)


def _meeting(nodes: int) -> list[str]:
    """Where torchrun's nodes meet."""
    if nodes == 1:  # not the name of the host, which may not resolve in a container
        return ["--standalone", "--local-addr=127.0.0.1"]
    for name in ("NODE_RANK", "MASTER_ADDR"):
        if not os.environ.get(name):
            raise ConfigError(
                f"trainer.nnodes={nodes}: set {name} on each node (NODE_RANK=0 on the first, MASTER_ADDR its "
                "address) and start the same command there"
            )
    port = os.environ.get("MASTER_PORT", "29500")
    address = os.environ["MASTER_ADDR"]
    rank = os.environ["NODE_RANK"]
    return [f"--nnodes={nodes}", f"--node_rank={rank}", f"--master_addr={address}", f"--master_port={port}"]


def merge_command(shards: Path, output: Path) -> EngineCommand:
    """``python -m verl.model_merger merge`` for FSDP shards; it runs on the CPU of any host."""
    words = [sys.executable, "-m", "verl.model_merger", "merge", "--backend", "fsdp"]
    return EngineCommand((*words, "--local_dir", str(shards), "--target_dir", str(output)), dict(os.environ))


def assign(key: str, value: object) -> str:
    """``key='value'`` in Hydra's grammar, for values such as paths that may hold any character."""
    # In Hydra's quotes a backslash is itself, except before a quote.
    text = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + (r"\'" if m[2] else ""), str(value))
    return f"{key}='{text}'"
