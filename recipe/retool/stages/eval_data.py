"""The problems that ``retool evaluate --data`` names: parquet files, or registered sets."""

from collections.abc import Sequence
from pathlib import Path

from recipe.retool.data.rl import write_problems
from recipe.retool.data.sources import Source, find_source, known_names
from recipe.retool.errors import ConfigError, DataError
from recipe.retool.stages.progress import say

_USE = "a parquet file of `retool data eval`, a registered set (%s), or SET=PATH with a local copy of it"


def evaluation_files(given: Sequence[str], folder: Path) -> list[str]:
    """Parquet files for what was named.

    Args:
        given: Paths, names or hub ids of registered sets (fetched from the hub), or ``SET=PATH``.
        folder: Where the rows of registered sets are written.

    Raises:
        ConfigError: A word is none of these, or two of them are one set.
        DataError: A set cannot be read.
    """
    files: list[str] = []
    for word in given:
        file = _file(word, folder)
        if file in files:
            raise ConfigError(f"--data {word}: this set is named twice")
        files.append(file)
    return files


def _file(word: str, folder: Path) -> str:
    path = Path(word).expanduser()
    if path.suffix == ".parquet" and path.is_file():
        return str(path.resolve())
    name, _, location = word.partition("=")
    try:
        source = find_source(name)
    except DataError:
        use = _USE % ", ".join(known_names("eval"))
        raise ConfigError(f"--data {word}: no such file or set; give {use}") from None
    target = folder / f"{source.name}.parquet"
    if location or not target.is_file():  # a resumed evaluation keeps what it had from the hub
        _convert(source, location or _on_the_hub(source), target)
    return str(target)


def _on_the_hub(source: Source) -> str:
    if not source.hub_ids:
        raise ConfigError(
            f"--data {source.name}: this set is on no hub; give --data {source.name}=PATH with a local copy"
        )
    return source.hub_ids[0]


def _convert(source: Source, location: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    say(write_problems([(location, source)], target, source.kind).render().rstrip())
