"""``retool sandbox serve``, ``check`` and ``bench``."""

import argparse
import sys

from recipe.retool.errors import ConfigError, SandboxError
from recipe.retool.sandbox.bench.cli import add_bench
from recipe.retool.sandbox.check import check
from recipe.retool.sandbox.serve_cli import add_serve


def main(argv: list[str]) -> int:
    """Run a verb; returns the exit code (0 fine, 1 a check failed, 2 could not start)."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except (ConfigError, SandboxError) as error:
        _say(f"error: {error}", to_stderr=True)
        return 2
    except KeyboardInterrupt:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="retool sandbox", description="The code sandbox.")
    verbs = parser.add_subparsers(required=True)
    add_serve(verbs)
    add_bench(verbs)
    two = verbs.add_parser("check", help="ask a server whether it works")
    two.add_argument("url", help="address; several with commas between them")
    two.set_defaults(run=lambda args: check(args.url, _say))
    return parser


def _say(text: str, to_stderr: bool = False) -> None:
    stream = sys.stderr if to_stderr else sys.stdout
    stream.write(text + "\n")
    stream.flush()
