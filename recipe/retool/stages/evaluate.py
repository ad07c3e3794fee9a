"""``retool evaluate``: accuracy and tool use of one model, by the very validation that training runs."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from recipe.retool.report.trajectories import read_trajectories
from recipe.retool.stages.arguments import engine_arguments
from recipe.retool.stages.commands import assign
from recipe.retool.stages.progress import say
from recipe.retool.stages.rl import rl_parser, run_rl
from recipe.retool.stages.summary import EvalSummary, summarise


def main(argv: list[str]) -> int:
    """Entry of the verb."""
    parser = rl_parser("evaluate")
    parser.add_argument("--model", required=True, help="Hugging Face folder or hub name")
    parser.add_argument("--data", required=True, help="parquet of `retool data eval`")
    args = engine_arguments("evaluate", argv, parser)
    summary = run_evaluation(
        args.model, args.data, args.output, args.overrides, args.sandbox_url, dry_run=args.dry_run
    )
    if summary:
        say(render(summary))
        say(f"trajectories and summary: {args.output.resolve()}")
    return 0


def run_evaluation(
    model: str,
    data: str,
    folder: Path,
    overrides: Sequence[str] = (),
    sandbox_url: str | None = None,
    dry_run: bool = False,
) -> EvalSummary | None:
    """Evaluate ``model`` on ``data``; None after a dry run.

    Raises:
        ConfigError, SandboxError, StageError: As ``run_rl``.
    """
    words = [
        assign("data.train_files", data),
        assign("data.val_files", data),
        assign("actor_rollout_ref.model.path", model),
        "trainer.val_only=True",
        "trainer.val_before_train=True",
        "trainer.resume_mode=disable",
        *overrides,
    ]
    if not dry_run:  # metrics of an earlier evaluation in this folder are not ours
        shutil.rmtree(folder / "metrics", ignore_errors=True)
    run = run_rl(words, folder, sandbox_url, dry_run)
    if dry_run:
        return None
    summary = summarise(read_trajectories(run.validation(0)))
    (run.folder / "summary.json").write_text(json.dumps(summary.as_dict(), indent=2))
    return summary


def render(summary: EvalSummary) -> str:
    """The figures as a few lines of text."""
    passed = "-" if summary.code_pass_rate is None else f"{summary.code_pass_rate:.1%}"
    lines = [
        f"avg@{summary.samples} on {summary.problems} problems: {summary.accuracy:.1%} "
        f"(95% interval {summary.low:.1%} to {summary.high:.1%})",
        f"tool-call rate {summary.tool_call_rate:.1%}, code pass rate {passed}, "
        f"turns {summary.mean_turns:.2f}, response {summary.response_tokens:.0f} tokens, "
        f"truncated {summary.truncated:.1%}",
    ]
    if summary.sandbox_unavailable:
        lines.append(f"warning: the sandbox did not answer {summary.sandbox_unavailable} calls")
    return "\n".join(lines)
