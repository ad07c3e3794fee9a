"""``retool sft``: the cold start, by verl's SFT trainer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recipe.retool.records.metrics_log import attempt_file, merge_attempts
from recipe.retool.stages.arguments import engine_arguments
from recipe.retool.stages.choices import choices_of, resolve_auto
from recipe.retool.stages.commands import assign, sft_command, sft_overrides
from recipe.retool.stages.compose import check_paths, compose_config, resolved, write_resolved
from recipe.retool.stages.detection import check_devices, tell_detection, write_detection
from recipe.retool.stages.numbers import whole
from recipe.retool.stages.preflight import before_composing, check_sft, tell_sft_estimate
from recipe.retool.stages.process import run_engine
from recipe.retool.stages.progress import SftProgress, say


@dataclass(frozen=True)
class SftRun:
    """Where an SFT run put what it made.

    Attributes:
        folder: The run folder: ``checkpoints/``, ``engine.log``, ``metrics.jsonl``, ``config.yaml``.
    """

    folder: Path

    @property
    def checkpoints(self) -> Path:
        """Holds ``global_step_N`` folders; what ``retool merge`` takes."""
        return self.folder / "checkpoints"


def main(argv: list[str]) -> int:
    """Entry of the verb."""
    args = engine_arguments("sft", argv)
    run_sft(args.overrides, args.output, args.dry_run)
    return 0


def run_sft(overrides: Sequence[str], folder: Path, dry_run: bool = False) -> SftRun:
    """Train, resuming from the last checkpoint in ``folder`` if there is one.

    Args:
        overrides: Hydra overrides of configs/retool_sft.yaml; ``device=`` and ``model=`` choose groups.
        folder: Run folder.
        dry_run: Print the command and stop.

    Raises:
        ConfigError: The config does not compose, or names a file that does not exist.
        StageError: The engine failed.
    """
    run = SftRun(folder.resolve())
    own = [
        assign("trainer.default_local_dir", run.checkpoints),
        assign("hydra.run.dir", run.folder / "hydra"),
    ]
    overrides, detection = resolve_auto(overrides)
    chosen = choices_of(overrides)
    words = sft_overrides([*own, *overrides])
    before_composing("sft", chosen, overrides)
    tell_detection(detection)
    metrics = run.folder / "metrics"
    config = compose_config("retool_sft", words)
    values = resolved(config)
    ranks, nodes = (whole(values, f"trainer.{key}") for key in ("n_gpus_per_node", "nnodes"))
    check_sft(chosen, values)
    seen = check_devices(chosen.device, values, detection, dry_run)
    if dry_run:
        say(sft_command(words, ranks, {}, nodes).shell())
        tell_sft_estimate(chosen, values, details=True)
        return run
    check_paths(values, ["data.train_files", "model.path"])
    tell_sft_estimate(chosen, values, details=False)
    write_resolved(config, run.folder / "config.yaml")
    write_detection(seen, run.folder)
    attempt = attempt_file(metrics)
    command = sft_command(words, ranks, {"VERL_FILE_LOGGER_PATH": str(attempt)}, nodes)
    (run.folder / "command.sh").write_text(command.shell() + "\n")
    try:
        run_engine("SFT", command.argv, command.env, run.folder / "engine.log", SftProgress(attempt))
    finally:
        merge_attempts(metrics, run.folder / "metrics.jsonl")
    return run
