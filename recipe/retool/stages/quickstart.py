"""``retool quickstart``: the whole pipeline on this machine, on a model small enough to learn in minutes."""

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recipe.retool.env.settings import DEFAULT_ENV
from recipe.retool.errors import ConfigError
from recipe.retool.evaluation.figures import EvalSummary, summarise, summarise_by
from recipe.retool.records.trajectories import read_trajectories
from recipe.retool.report.write_report import write_report
from recipe.retool.stages.commands import assign
from recipe.retool.stages.eval_job import Evaluation
from recipe.retool.stages.evaluate import run_evaluation
from recipe.retool.stages.ledger import Ledger, open_ledger
from recipe.retool.stages.merge import run_merge
from recipe.retool.stages.progress import say
from recipe.retool.stages.quickstart_table import render
from recipe.retool.stages.rl import run_rl
from recipe.retool.stages.sft import run_sft
from recipe.retool.stages.versions import versions
from recipe.retool.tiny.arithmetic import difficulty_in
from recipe.retool.tiny.files import TaskFiles, write_task

FORMATS = ("hermes", "retool", "text")


@dataclass(frozen=True)
class Settings:
    """What decides the outcome of a quickstart; a run folder belongs to one set of them."""

    seed: int = 0
    env: str = DEFAULT_ENV
    sft_rows: int = 12800
    sft_steps: int = 800
    rl_steps: int = 12
    train_problems: int = 1024
    test_problems: int = 384


def main(argv: list[str]) -> int:
    """Entry of the verb."""
    parser = argparse.ArgumentParser(prog="retool quickstart", description=__doc__)
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of data, model and sampling (default: %(default)s)"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs/quickstart"), help="run folder (default: %(default)s)"
    )
    parser.add_argument("--sft-steps", type=int, default=Settings.sft_steps, help="default: %(default)s")
    parser.add_argument("--rl-steps", type=int, default=Settings.rl_steps, help="default: %(default)s")
    parser.add_argument("choice", nargs="*", metavar="env=NAME", help=f"format: {', '.join(FORMATS)}")
    args = parser.parse_intermixed_args(argv)
    settings = Settings(args.seed, _env(args.choice), sft_steps=args.sft_steps, rl_steps=args.rl_steps)
    run_quickstart(args.out.resolve(), settings)
    return 0


def _env(words: list[str]) -> str:
    """The environment that ``env=NAME`` chooses; ConfigError for any other word."""
    chosen = DEFAULT_ENV
    for word in words:
        key, _, chosen = word.partition("=")
        if key != "env" or chosen not in FORMATS:
            raise ConfigError(f"{word}: quickstart takes env=NAME, NAME one of {', '.join(FORMATS)}")
    return chosen


def run_quickstart(folder: Path, settings: Settings) -> dict[str, Any]:
    """Run what is not done yet, print the table, and return what ``summary.json`` holds.

    Raises:
        RetoolError: A stage failed; a second call goes on from there.
    """
    with open_ledger(folder, asdict(settings)) as ledger:
        say(f"run folder: {folder}")
        task = TaskFiles(folder / "task")
        with ledger.stage("task", "arithmetic problems, tiny Qwen2 model and tokenizer") as todo:
            if todo:
                write_task(
                    task,
                    settings.seed,
                    settings.sft_rows,
                    settings.train_problems,
                    settings.test_problems,
                    settings.env,
                )
        cold = _cold_start(ledger, task, settings)
        _reinforce(ledger, task, cold, settings)
        with ledger.stage(
            "evaluate", f"base model on the {settings.test_problems} held-out problems"
        ) as todo:
            if todo:
                output, words = folder / "evaluate_base", tuple(_rl_overrides(settings))
                run_evaluation(Evaluation(str(task.base), (str(task.test),), output, words))
        summary = _summary(ledger, settings)
    say(render(summary))
    page = write_report([folder], folder / "report.html")
    say(f"report, with charts and trajectories, for a browser: {page.path}")
    say(f"everything to reproduce and inspect it: {folder}")
    return summary


def _cold_start(ledger: Ledger, task: TaskFiles, settings: Settings) -> Path:
    folder = ledger.folder / "sft"
    with ledger.stage("sft", f"{settings.sft_steps} steps of verl's sft_trainer") as todo:
        if todo:
            run_sft(
                [
                    "device=cpu",
                    "model=tiny",
                    f"env={settings.env}",
                    assign("data.train_files", task.sft),
                    assign("model.path", task.base),
                    f"trainer.seed={settings.seed}",
                    f"trainer.total_training_steps={settings.sft_steps}",
                    "trainer.total_epochs=1000",
                    "trainer.max_ckpt_to_keep=1",
                ],
                folder,
            )
    with ledger.stage("merge", "FSDP checkpoint of the SFT model -> Hugging Face") as todo:
        if todo:
            run_merge(folder / "checkpoints", folder / "hf")
    return folder / "hf"


def _rl_overrides(settings: Settings) -> list[str]:
    return [
        "device=cpu",
        "model=tiny",
        "algorithm=grpo",
        f"env={settings.env}",
        f"data.seed={settings.seed}",
        f"actor_rollout_ref.rollout.seed={settings.seed}",
    ]


def _reinforce(ledger: Ledger, task: TaskFiles, cold: Path, settings: Settings) -> None:
    folder = ledger.folder / "rl"
    with ledger.stage(
        "rl", f"{settings.rl_steps} steps of verl's main_ppo (GRPO) with the code sandbox"
    ) as todo:
        if todo:
            run_rl(
                [
                    *_rl_overrides(settings),
                    assign("data.train_files", task.train),
                    assign("data.val_files", task.test),
                    assign("actor_rollout_ref.model.path", cold),
                    f"trainer.total_training_steps={settings.rl_steps}",
                    "trainer.save_freq=4",
                    "trainer.test_freq=6",
                ],
                folder,
            )
    with ledger.stage("merge_rl", "FSDP checkpoint of the RL model -> Hugging Face") as todo:
        if todo:
            run_merge(folder / "checkpoints", folder / "hf")


def _summary(ledger: Ledger, settings: Settings) -> dict[str, Any]:
    """Gather the three evaluations: RL validates the model it starts from and the one it ends with."""
    files = {
        "base": ledger.folder / "evaluate_base" / "samples.jsonl",
        "sft": ledger.folder / "rl" / "validation" / "0.jsonl",
        "rl": ledger.folder / "rl" / "validation" / f"{settings.rl_steps}.jsonl",
    }
    rows = {name: read_trajectories(path) for name, path in files.items()}
    overall = {name: summarise(of_model) for name, of_model in rows.items()}
    by_difficulty = {
        name: summarise_by(of_model, lambda row: difficulty_in(row["input"]))
        for name, of_model in rows.items()
    }
    summary: dict[str, Any] = {
        "seed": settings.seed,
        "settings": asdict(settings),
        "accuracy": {name: figures.accuracy for name, figures in overall.items()},
        "tool_call_rate": {name: figures.tool_call_rate for name, figures in overall.items()},
        "minutes": _minutes(ledger),
        "evaluation": {name: _with_groups(overall[name], by_difficulty[name]) for name in rows},
        "versions": versions(),
    }
    (ledger.folder / "summary.json").write_text(json.dumps(summary, indent=2))
    return summary


def _with_groups(overall: EvalSummary, groups: dict[str, EvalSummary]) -> dict[str, Any]:
    return {**overall.as_dict(), "by_difficulty": {name: group.as_dict() for name, group in groups.items()}}


def _minutes(ledger: Ledger) -> dict[str, float]:
    seconds = {
        "sft": ledger.seconds("task") + ledger.seconds("sft"),
        "merge": ledger.seconds("merge") + ledger.seconds("merge_rl"),
        "rl": ledger.seconds("rl"),
        "evaluate": ledger.seconds("evaluate"),
    }
    return {name: round(value / 60, 2) for name, value in {**seconds, "total": sum(seconds.values())}.items()}
