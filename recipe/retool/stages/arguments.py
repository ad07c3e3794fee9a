"""What the engine verbs (sft, rl, evaluate) take on the command line, besides Hydra overrides."""

import argparse
from pathlib import Path

from recipe.retool.errors import ConfigError

_ABOUT = {
    "sft": "Supervised cold start by verl's SFT trainer (configs/retool_sft.yaml).",
    "rl": "GRPO or PPO with tool calls by verl's main_ppo (configs/retool_ppo.yaml).",
    "evaluate": "Accuracy of any model by the agent loop, tools and reward of training.",
}


def engine_parser(verb: str) -> argparse.ArgumentParser:
    """Parser of one engine verb."""
    parser = argparse.ArgumentParser(
        prog=f"retool {verb}", description=_ABOUT[verb], epilog="Everything with a = is a Hydra override."
    )
    parser.add_argument(
        "--output", type=Path, default=Path("runs") / verb, help="run folder (default: %(default)s)"
    )
    parser.add_argument("--dry-run", action="store_true", help="print the engine's command and stop")
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="Hydra overrides, after all options"
    )
    return parser


def engine_arguments(
    verb: str, argv: list[str], parser: argparse.ArgumentParser | None = None
) -> argparse.Namespace:
    """Parse; options and overrides may be mixed.

    Raises:
        ConfigError: A word is neither an option nor an override.
    """
    parser = parser or engine_parser(verb)
    args = parser.parse_intermixed_args(argv)
    for word in args.overrides:
        if "=" not in word and not word.startswith("~"):
            raise ConfigError(f"{word!r} is not a Hydra override (key=value)")
    return args
