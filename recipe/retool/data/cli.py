"""``retool data sft|rl|eval``: raw data sets -> the parquet files that verl reads."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path

from recipe.retool.data import sources
from recipe.retool.data.io import RowReader, find_files, is_hub_name
from recipe.retool.data.output import write_text
from recipe.retool.data.report import PrepReport
from recipe.retool.data.rl import write_problems
from recipe.retool.data.sft import HUB_NAME, SftFormat, good_rows, write_sft
from recipe.retool.data.sources import Kind
from recipe.retool.data.verify import BlockCheck, CodeRunner, check_rows, with_checks
from recipe.retool.errors import DataError, RetoolError

# Where the upstream recipe's guide expects it.
DEFAULT_SFT_OUTPUT = "~/ReTool-SFT/data/train-00000-of-00001.parquet"
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(argv: list[str]) -> int:
    """Run one verb.

    Args:
        argv: Arguments after ``retool data``.

    Returns:
        0 when a file was written, 2 with a message on stderr when not, 130 after Ctrl-C.
    """
    args = _parser().parse_args(argv)
    try:
        report = _prepare_sft(args) if args.verb == "sft" else _prepare_problems(args)
        sys.stdout.write(report.render())
    except RetoolError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"interrupted: {args.output} is as it was before\n")
        return _INTERRUPTED
    return 0


def report_path(output: Path) -> Path:
    """Where the report of an output lies: ``x.parquet`` -> ``x.parquet.report.json``."""
    return output.with_name(output.name + ".report.json")


def _prepare_sft(args: argparse.Namespace) -> PrepReport:
    output = _output(args.output, [args.input])
    checks = _checks(args) if args.verify else []
    report = write_sft(args.input, output, SftFormat(args.format), args.limit)
    report = with_checks(report, checks)
    write_text(report_path(output), report.to_json())
    return report


def _prepare_problems(args: argparse.Namespace) -> PrepReport:
    kind: Kind = args.verb
    inputs = [(location, sources.source_of(location, args.source, kind)) for location in args.input]
    output = _output(args.output, args.input)
    report = write_problems(inputs, output, kind, args.limit)
    write_text(report_path(output), report.to_json())
    return report


def _checks(args: argparse.Namespace) -> list[BlockCheck]:
    rows = islice(good_rows(RowReader(args.input, ("messages",)), refused=[]), args.limit)
    with _sandbox(args.sandbox_url) as make_runner:
        return list(chain.from_iterable(check_rows(rows, make_runner, args.jobs)))


@contextmanager
def _sandbox(url: str | None) -> Iterator[Callable[[], CodeRunner]]:
    """Gives threads a client of the sandboxes at ``url``, or of one that lives as long as the block."""
    from recipe.retool.sandbox.client import SyncSandboxClient
    from recipe.retool.sandbox.embedded import EmbeddedSandbox

    if url is not None:
        client = SyncSandboxClient(url)
        yield lambda: client
        return
    with EmbeddedSandbox() as sandbox:
        client = SyncSandboxClient(sandbox.url)
        yield lambda: client


def _output(name: str, inputs: list[str]) -> Path:
    """The output path, once it is sure that it is none of the inputs."""
    output = Path(name).expanduser().resolve()
    if output.suffix != ".parquet":
        raise DataError(f"{output}: the output is a parquet file; let its name end in .parquet")
    for location in inputs:
        if is_hub_name(location):
            continue
        if output in (path.resolve() for path in find_files(location)):
            raise DataError(f"{output}: is also an input ({location}); write to another place")
    return output


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="retool data", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    sft = verbs.add_parser("sft", help="ReTool-SFT traces -> multi-turn messages for verl's SFT trainer")
    sft.add_argument("--input", default=HUB_NAME, help="file, folder or hub name (default: %(default)s)")
    sft.add_argument("--output", default=DEFAULT_SFT_OUTPUT, help="parquet file (default: %(default)s)")
    forms = [form.value for form in SftFormat]
    sft.add_argument("--format", choices=forms, default=forms[0], help="tool calls (default: %(default)s)")
    sft.add_argument("--limit", type=_positive, help="rows to write at most")
    sft.add_argument("--verify", action="store_true", help="run the code blocks and compare their outputs")
    sft.add_argument("--sandbox-url", help="sandboxes for --verify (commas); without it one is started")
    sft.add_argument(
        "--jobs", type=_positive, default=4, help="rows verified at a time (default: %(default)s)"
    )
    for kind, use in (("rl", "training problems"), ("eval", "evaluation problems")):
        verb = verbs.add_parser(kind, help=f"{use} -> rows for verl's RLHFDataset")
        known = ", ".join(sources.known_names("rl" if kind == "rl" else "eval"))
        verb.add_argument("--source", help=f"format of the inputs: {known}; a hub id as --input implies it")
        verb.add_argument(
            "--input", action="append", required=True, help="file, folder or hub name; repeatable"
        )
        verb.add_argument("--output", required=True, help="parquet file")
        verb.add_argument("--limit", type=_positive, help="rows to write at most")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {number}")
    return number
