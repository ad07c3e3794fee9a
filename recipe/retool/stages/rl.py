"""``retool rl``: reinforcement learning with tool calls, by verl's main_ppo."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.retool.device.profiles import additions
from recipe.retool.records.metrics_log import attempt_file, merge_attempts
from recipe.retool.stages.arguments import engine_arguments, engine_parser
from recipe.retool.stages.choices import Choices, choices_of, model_path, resolve_auto
from recipe.retool.stages.commands import assign, home, ppo_command
from recipe.retool.stages.compose import check_paths, compose_config, resolved, write_resolved
from recipe.retool.stages.detection import check_devices, tell_detection, write_detection
from recipe.retool.stages.preflight import (
    OWN_PATHS,
    before_composing,
    check_cluster,
    check_rl,
    check_rl_data,
    check_sandbox_url,
    tell_rl_estimate,
)
from recipe.retool.stages.process import run_engine
from recipe.retool.stages.progress import RlProgress, say
from recipe.retool.stages.sandbox_watch import SandboxWatch, working_sandbox
from recipe.retool.stages.tool_checks import check_tools

SANDBOX_VARIABLE = "RETOOL_SANDBOX_URL"
PATH_KEYS = ("data.train_files", "data.val_files", "actor_rollout_ref.model.path")


@dataclass(frozen=True)
class RlRun:
    """Where an RL run put what it made.

    Attributes:
        folder: The run folder: ``checkpoints/``, ``rollouts/``, ``validation/``, ``engine.log``,
            ``metrics.jsonl``, ``config.yaml``, ``command.sh``.
    """

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Holds ``global_step_N`` folders; ``global_step_N/actor`` is what ``retool merge`` takes."""
        return self.folder / "checkpoints"

    def validation(self, step: int) -> Path:
        """Trajectories of the validation at a step."""
        return self.folder / "validation" / f"{step}.jsonl"


def rl_parser(verb: str) -> argparse.ArgumentParser:
    """Parser of ``rl`` and ``evaluate``."""
    parser = engine_parser(verb)
    parser.add_argument("--sandbox-url", help="running sandboxes (commas); without it one is started")
    return parser


def main(argv: list[str]) -> int:
    """Entry of the verb."""
    args = engine_arguments("rl", argv, rl_parser("rl"))
    run_rl(args.overrides, args.output, args.sandbox_url, args.dry_run)
    return 0


def run_rl(
    overrides: Sequence[str], folder: Path, sandbox_url: str | None = None, dry_run: bool = False
) -> RlRun:
    """Train, resuming from the last checkpoint in ``folder`` if there is one.

    Args:
        overrides: Hydra overrides of configs/retool_ppo.yaml.
        folder: Run folder.
        sandbox_url: A running sandbox; None takes RETOOL_SANDBOX_URL, and starts one for the time of the run
            when that is not set either.
        dry_run: Print the command and an estimate of its memory, and stop.

    Raises:
        ConfigError: The config does not compose, cannot work, or names a file that does not exist.
        SandboxError: No working sandbox.
        StageError: The engine failed.
    """
    run = RlRun(folder.resolve())
    sandbox_url = sandbox_url or os.environ.get(SANDBOX_VARIABLE, "").strip() or None
    overrides, detection = resolve_auto(model_path(overrides, "actor_rollout_ref.model.path"))
    chosen = choices_of(overrides)
    words = [
        assign("trainer.default_local_dir", run.checkpoints),
        assign("trainer.rollout_data_dir", run.folder / "rollouts"),
        assign("trainer.validation_data_dir", run.folder / "validation"),
        assign("hydra.run.dir", run.folder / "hydra"),
        *overrides,
    ]
    before_composing("rl", chosen, overrides)
    tell_detection(detection)
    config = compose_config("retool_ppo", words)
    values = resolved(config)
    check_rl(chosen, values)
    seen = check_devices(chosen.device, values, detection, dry_run)
    if dry_run:
        extra = {SANDBOX_VARIABLE: sandbox_url or "http://127.0.0.1:PORT"}
        say(ppo_command([*words, *worker_variables(chosen, extra)], extra).shell())
        tell_rl_estimate(chosen, values, details=True)
        return run
    check_paths(values, PATH_KEYS, OWN_PATHS)
    check_rl_data(values)
    check_sandbox_url(values, sandbox_url)
    check_cluster(values)
    tell_rl_estimate(chosen, values, details=False)
    write_resolved(config, run.folder / "config.yaml")
    write_detection(seen, run.folder)
    with working_sandbox(sandbox_url, run.folder / "sandbox.log") as sandbox:
        check_tools(values, sandbox.url)
        _train(run, words, chosen, sandbox)
    return run


def worker_variables(chosen: Choices, extra: Mapping[str, str]) -> list[str]:
    """Overrides that carry variables to the actors of a Ray cluster which was there before the run.

    Such actors inherit the environment of their node's Ray, not that of the driver; Ray joins a cluster
    without being asked to, on one node too, so the variables always go this way. A library to preload is a
    file of one node, and stays.
    """
    device = additions(chosen.device, os.environ, chosen.stack)
    found = {**device, "RETOOL_HOME": str(home()), **extra}  # the config's paths begin with RETOOL_HOME
    found.pop("LD_PRELOAD", None)
    return [assign(f"++ray_kwargs.ray_init.runtime_env.env_vars.{name}", found[name]) for name in found]


def _train(run: RlRun, words: list[str], chosen: Choices, sandbox: SandboxWatch) -> None:
    metrics = run.folder / "metrics"
    attempt = attempt_file(metrics)
    extra = {"VERL_FILE_LOGGER_PATH": str(attempt), SANDBOX_VARIABLE: sandbox.url}
    command = ppo_command([*words, *worker_variables(chosen, extra)], extra)
    (run.folder / "command.sh").write_text(command.shell() + "\n")
    progress = RlProgress(attempt)

    def watch() -> None:
        progress()
        sandbox()

    try:
        run_engine("RL", command.argv, command.env, run.folder / "engine.log", watch)
    finally:
        merge_attempts(metrics, run.folder / "metrics.jsonl")
