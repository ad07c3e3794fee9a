"""``retool report``: runs -> one HTML page."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from recipe.retool.errors import ConfigError
from recipe.retool.report.gather import Limits
from recipe.retool.report.run_files import dump_bytes
from recipe.retool.report.runs import find_run
from recipe.retool.report.write_report import ReportResult, write_report


def main(argv: list[str]) -> int:
    """Entry of the verb."""
    args = _parser().parse_args(argv)
    if args.output.is_dir():
        raise ConfigError(
            f"--output {args.output} is a folder; name a file, {args.output / 'report.html'} say"
        )
    if args.trajectories < 0:
        raise ConfigError(f"--trajectories {args.trajectories} must be 0 or more")
    limits = Limits(trajectories=args.trajectories, pairs=min(args.trajectories, Limits.pairs))
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("trajectories", total=sum(dump_bytes(find_run(path)) for path in args.runs))
        result = write_report(args.runs, args.output, limits, lambda count: bar.update(task, advance=count))
    sys.stdout.write(_summary(result))
    return 0


def _summary(result: ReportResult) -> str:
    lines = [f"note: {note}" for note in result.notes]
    lines.append(
        f"{result.path}: {result.bytes / 1e6:.1f} MB, {result.shown} of {result.read} trajectories; "
        "open it in a browser"
    )
    return "\n".join(lines) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retool report", description="Write one self-contained HTML page about one or several runs."
    )
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN",
        help="folder of `retool rl`, `retool quickstart` or `retool evaluate`",
    )  # fmt: skip
    parser.add_argument("--output", type=Path, default=Path("report.html"), help="default: report.html")
    parser.add_argument(
        "--trajectories", type=int, default=Limits.trajectories,
        help="most trajectories of each run to show, by a fair sample (default: %(default)s)",
    )  # fmt: skip
    return parser
