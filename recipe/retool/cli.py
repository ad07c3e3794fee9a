"""The command ``retool``: one verb a stage. Each verb is loaded only when it is called."""

import importlib
import signal
import sys
from collections.abc import Callable

from recipe.retool.errors import RetoolError

VERBS = {
    "quickstart": (
        "recipe.retool.stages.quickstart",
        "SFT, merge, GRPO and evaluation of a tiny model on this machine",
    ),
    "data": ("recipe.retool.data.cli", "make the parquet files that verl reads"),
    "sft": ("recipe.retool.stages.sft", "supervised cold start"),
    "merge": ("recipe.retool.stages.merge", "FSDP checkpoint -> Hugging Face model, checked"),
    "rl": ("recipe.retool.stages.rl", "GRPO or PPO with tool calls"),
    "evaluate": ("recipe.retool.stages.evaluate", "accuracy and tool use of one model"),
    "report": ("recipe.retool.report.report_cli", "one HTML page about one or several runs"),
    "watch": ("recipe.retool.report.watch", "a live view of a run in the terminal"),
    "sandbox": ("recipe.retool.sandbox.cli", "serve, check or measure the code sandbox"),
    "env": ("recipe.retool.device.env_cli", "the environment variables of a device, as shell lines"),
    "doctor": ("recipe.retool.device.cli", "what is installed, what is missing, how to mend it"),
}
_BAD_INPUT = 2
_INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(argv: list[str] | None = None) -> int:
    """Run one verb.

    Returns:
        0, or 2 after an error whose message is on stderr, or 130 after Ctrl-C.
    """
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] in ("-h", "--help") or words[0] not in VERBS:
        sys.stderr.write(_usage(words[0] if words else ""))
        return 0 if words and words[0] in ("-h", "--help") else _BAD_INPUT
    # SIGTERM ends like Ctrl-C, in order; and Ctrl-C works even where a shell started us with it ignored.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run: Callable[[list[str]], int] = importlib.import_module(VERBS[words[0]][0]).main
    try:
        return run(words[1:])
    except RetoolError as error:
        sys.stderr.write(f"error: {error}\n")
        return _BAD_INPUT
    except OSError as error:  # a path that cannot be read or written, a full disk
        sys.stderr.write(f"error: {error}\n")
        return _BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; everything that was started has been ended\n")
        return _INTERRUPTED


def _usage(word: str) -> str:
    lines = [] if word in ("", "-h", "--help") else [f"retool: unknown verb {word!r}"]
    lines += ["usage: retool VERB ...   (retool VERB --help)", ""]
    lines += [f"  {verb:<11} {about}" for verb, (_, about) in VERBS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
