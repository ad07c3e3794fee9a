"""A tokenizer that a newer transformers saved, for an older one that has to read it.

transformers 5 writes the further special tokens of a tokenizer as a list, ``extra_special_tokens``. 4.57 has
a mapping of that name, and calls ``keys()`` of what it finds; the list is its ``additional_special_tokens``,
a name that 5 reads too.
"""

import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from recipe.retool.errors import ConfigError

NEW, OLD = "extra_special_tokens", "additional_special_tokens"
_FILE = "tokenizer_config.json"


def check_tokenizer(path: str, version: Callable[[str], str] = metadata.version) -> None:
    """Refuse a local tokenizer that the installed transformers cannot read.

    Raises:
        ConfigError: Names the file and the line to change.
    """
    file = Path(path).expanduser() / _FILE
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        found = version("transformers")
    except (OSError, ValueError, metadata.PackageNotFoundError):
        return  # a name on the hub, or for transformers itself to complain about
    if int(found.partition(".")[0]) < 5 and isinstance(config, dict) and isinstance(config.get(NEW), list):
        raise ConfigError(
            f"{file} was saved by transformers 5, installed is {found}: rename its key {NEW} to {OLD} (both "
            "versions read that)"
        )
