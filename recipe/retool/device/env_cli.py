"""``retool env``: the variables of a device as shell lines, for what is started without ``retool``."""

import argparse
import os
import shlex
import sys

from recipe.retool.device.detect import AUTO, detect
from recipe.retool.device.profiles import additions
from recipe.retool.device.stacks import DEFAULT_STACK
from recipe.retool.errors import ConfigError


def main(argv: list[str]) -> int:
    """Print ``export NAME=value`` lines: ``eval "$(retool env device=gpu)"``.

    Raises:
        ConfigError: An unknown word, device or stack, or an accelerator that does not work.
    """
    parser = argparse.ArgumentParser(prog="retool env", description=__doc__)
    parser.add_argument("words", nargs="+", metavar="key=value", help="device=NAME, and stack=NAME")
    chosen = {"device": AUTO, "stack": DEFAULT_STACK}
    for word in parser.parse_args(argv).words:
        key, _, value = word.partition("=")
        if key not in chosen:
            raise ConfigError(f"{word!r}: known are device= and stack=")
        chosen[key] = value
    if chosen["device"] == AUTO:
        found = detect()
        if found.problem:
            raise ConfigError(f"{found.device} does not work: {found.problem}")
        chosen["device"] = found.device
    for name, value in sorted(additions(chosen["device"], os.environ, chosen["stack"]).items()):
        sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
    return 0
