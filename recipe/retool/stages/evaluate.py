"""``retool evaluate``: accuracy and tool use of any model, by the loop, tools and reward of training."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from recipe.retool.errors import ConfigError, StageError
from recipe.retool.evaluation.figures import EvalSummary
from recipe.retool.evaluation.results import render, write_results
from recipe.retool.evaluation.store import Store, open_store
from recipe.retool.stages.arguments import engine_arguments
from recipe.retool.stages.choices import choices_of, model_path, resolve_auto
from recipe.retool.stages.commands import assign, engine_command
from recipe.retool.stages.compose import compose_config, resolved, write_resolved
from recipe.retool.stages.detection import check_devices, tell_detection
from recipe.retool.stages.eval_data import evaluation_files
from recipe.retool.stages.eval_job import Evaluation, identity_of, job_of
from recipe.retool.stages.eval_model import EvalModel, resolve_model
from recipe.retool.stages.eval_progress import EvalProgress
from recipe.retool.stages.preflight import before_composing, check_rl, check_served
from recipe.retool.stages.process import Watch, run_engine
from recipe.retool.stages.progress import say
from recipe.retool.stages.rl import SANDBOX_VARIABLE, rl_parser
from recipe.retool.stages.sandbox_watch import working_sandbox
from recipe.retool.stages.serve import serve_command, served
from recipe.retool.stages.tool_checks import check_tools
from recipe.retool.stages.versions import versions


def main(argv: list[str]) -> int:
    """Entry of the verb."""
    parser = rl_parser("evaluate")
    parser.add_argument(
        "--model", required=True, help="Hugging Face folder, FSDP checkpoint, hub name, or http://HOST/v1"
    )
    parser.add_argument(
        "--data", action="append", required=True, help="parquet, registered set or SET=PATH; repeatable"
    )
    parser.add_argument("--tokenizer", default="", help="of a model on a server: exact tokens, not messages")
    parser.add_argument("--model-name", default="", help="of a server with several models")
    parser.add_argument("--seed", type=int, default=0, help="seed of the answers (default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=0, help="trajectories at a time")
    args = engine_arguments("evaluate", argv, parser)
    if args.concurrency < 0:
        raise ConfigError(f"--concurrency {args.concurrency}: must be 1 or more; 0 takes that of the config")
    wish = Evaluation(
        args.model,
        tuple(args.data),
        args.output,
        tuple(args.overrides),
        args.sandbox_url,
        args.tokenizer,
        args.model_name,
        args.seed,
        args.concurrency,
    )
    run_evaluation(wish, dry_run=args.dry_run)
    return 0


def run_evaluation(wish: Evaluation, dry_run: bool = False) -> EvalSummary | None:
    """Ask for the answers that are not there yet, and write the figures; None after a dry run.

    Raises:
        ConfigError, DataError: Something named does not exist or cannot work.
        SandboxError: No working sandbox.
        StageError: An engine failed, or some answers could not be had; a second call goes on from there.
    """
    folder = wish.folder.resolve()
    overrides, detection = resolve_auto(model_path(wish.overrides, "actor_rollout_ref.model.path"))
    tell_detection(detection)
    files = evaluation_files(wish.data, folder / "data")
    model = resolve_model(wish.model, folder, wish.tokenizer, wish.model_name)
    words = _words(model, files, overrides)
    values, config = _checked(words, overrides, model)
    check_devices(choices_of(overrides).device, values, detection, dry_run or bool(model.url))
    job = job_of(wish, model, files, values)
    if dry_run:
        _tell(model, job, values, words)
        return None
    with open_store(folder, identity_of(wish, model, files, values)) as store:
        write_resolved(config, folder / "config.yaml")
        if not _complete(store, job["samples"]):
            _generate(wish, store, model, values, words, job)
        return _finish(store, wish, values, job["samples"])


def _words(model: EvalModel, files: Sequence[str], overrides: Sequence[str]) -> list[str]:
    listed = ",".join(assign("", file).removeprefix("=") for file in files)
    return [
        f"data.train_files=[{listed}]",
        f"data.val_files=[{listed}]",
        "trainer.val_only=True",
        "data.shuffle=False",  # val_max_samples would draw other problems in each run
        *([assign("actor_rollout_ref.model.path", model.tokenizer)] if model.tokenizer else []),
        *overrides,
    ]


def _checked(words: list[str], overrides: Sequence[str], model: EvalModel) -> tuple[dict[str, Any], Any]:
    """The config, once it is sure that it can work."""
    chosen = choices_of(overrides)
    before_composing("rl", chosen, overrides)
    config = compose_config("retool_ppo", words)
    values = resolved(config)
    if model.tokenizer:
        check_rl(chosen, values)
    else:
        check_served(chosen, values)
    return values, config


def _complete(store: Store, samples: int) -> bool:
    facts = store.facts()
    wanted = facts.get("problems", 0) * samples
    return bool(wanted) and sum(sample < samples for _, sample in store.done()) >= wanted


def _generate(
    wish: Evaluation,
    store: Store,
    model: EvalModel,
    values: dict[str, Any],
    words: list[str],
    job: dict[str, Any],
) -> None:
    there = len(store.done())
    if there:
        say(f"  {there} answers are there from before")
    url = wish.sandbox_url or os.environ.get(SANDBOX_VARIABLE, "").strip() or None
    with working_sandbox(url, store.folder / "sandbox.log") as sandbox:
        check_tools(values, sandbox.url)
        extra = {SANDBOX_VARIABLE: sandbox.url}
        if model.url:
            _ask(store, words, job, extra, [sandbox])
            return
        with served(model.path, values, words, store.folder / "vllm.log") as (address, alive):
            _ask(store, words, {**job, "url": address}, extra, [sandbox, alive])


def _ask(
    store: Store, words: list[str], job: dict[str, Any], extra: Mapping[str, str], watches: Sequence[Watch]
) -> None:
    store.note(answers=None)  # of an earlier run, which may have asked for fewer
    (store.folder / "job.json").write_text(json.dumps(job, indent=2))
    argv = [sys.executable, "-m", "recipe.retool.verl_ext.evaluate_main", str(store.folder)]
    command = engine_command(argv, words, extra)
    with EvalProgress(store, job["samples"]) as progress:

        def watch() -> None:
            progress()
            for look in watches:
                look()

        run_engine("evaluation", command.argv, command.env, store.folder / "engine.log", watch)


def _finish(store: Store, wish: Evaluation, values: dict[str, Any], samples: int) -> EvalSummary:
    rows = [row for row in store.rows() if row["sample"] < samples]
    if not rows:
        raise StageError(f"no answer came; see {store.folder / 'engine.log'}")
    told = store.facts()
    record = {**asdict(wish), "folder": str(store.folder), **told, "config": values}
    summary = write_results(store.folder, rows, record, versions())
    say(render(rows))
    if told.get("left_out"):
        limit = values["data"]["max_prompt_length"]
        reason = f"their prompts exceed data.max_prompt_length={limit} tokens"
        say(f"{told['left_out']} problems left out: {reason}")
    say(f"answers, problem by problem, summary: {store.folder}")
    return summary


def _tell(model: EvalModel, job: dict[str, Any], values: dict[str, Any], words: list[str]) -> None:
    if not model.url:
        say(serve_command(model.path, values, words, port=8000).shell())
    say(json.dumps(job, indent=2))
