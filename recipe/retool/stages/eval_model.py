"""The model that ``retool evaluate --model`` names: on a server, in a folder, on the hub, in FSDP shards."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.retool.errors import ConfigError, StageError
from recipe.retool.evaluation.client import served_models
from recipe.retool.stages.merge import MARKER, find_checkpoint, run_merge
from recipe.retool.stages.serve import SERVED_NAME

_WEIGHTS = ("*.safetensors", "*.bin")


@dataclass(frozen=True)
class EvalModel:
    """A model to evaluate.

    Attributes:
        url: Server that has it already; empty when one is to be started.
        served_name: Its name on that server.
        path: Folder or hub name for the server to start; empty with ``url``.
        tokenizer: Folder or hub name of its tokenizer; empty when only the server knows it.
        identity: What tells this model from another one in the same place.
    """

    url: str
    served_name: str
    path: str
    tokenizer: str
    identity: Mapping[str, Any]


def is_url(model: str) -> bool:
    """Whether ``--model`` names a server."""
    return model.startswith(("http://", "https://"))


def resolve_model(model: str, folder: Path, tokenizer: str = "", served_name: str = "") -> EvalModel:
    """Find the model; FSDP shards are merged into ``folder/hf`` first.

    Args:
        model: Address of a server, Hugging Face folder, FSDP checkpoint folder, or hub name.
        folder: Of the evaluation.
        tokenizer: Folder or hub name; needed with a server for token ids in and out.
        served_name: Name of the model on a server that has several.

    Raises:
        ConfigError: The folder holds no model, or the server has several and none was chosen.
        StageError: The server does not answer, or the merge failed.
    """
    if is_url(model):
        url = model.rstrip("/")
        name = _chosen(url, served_name)
        return EvalModel(url, name, "", tokenizer, {"url": url, "name": name})
    path = Path(model).expanduser()
    if not path.is_dir():
        return EvalModel("", SERVED_NAME, model, tokenizer or model, {"name": model})
    if not (path / "config.json").is_file():
        path = _merged(path, folder / "hf")
    place = str(path.resolve())
    return EvalModel("", SERVED_NAME, place, tokenizer or place, {"path": place, "files": _fingerprint(path)})


def _chosen(url: str, wanted: str) -> str:
    names = served_models(url)
    if wanted and wanted not in names:
        raise ConfigError(f"--model-name {wanted}: {url} serves {', '.join(names) or 'no model'}")
    if not wanted and len(names) != 1:
        raise ConfigError(f"{url} serves {', '.join(names) or 'no model'}: choose one with --model-name")
    return wanted or names[0]


def _merged(checkpoints: Path, output: Path) -> Path:
    """The shards as a Hugging Face folder; one that was merged before is taken as it is."""
    try:
        found = find_checkpoint(checkpoints)
    except StageError as error:
        raise ConfigError(
            f"--model {checkpoints}: no config.json, so no Hugging Face model; {error}"
        ) from None
    marker = output / MARKER
    if marker.is_file() and json.loads(marker.read_text()).get("checkpoint") == str(found.folder):
        return output
    return run_merge(checkpoints, output, found.step if found.step >= 0 else None)


def _fingerprint(path: Path) -> str:
    """Changes when the weights do: names, sizes and times of their files, and the config itself."""
    digest = hashlib.sha256((path / "config.json").read_bytes())
    for file in sorted(file for pattern in _WEIGHTS for file in path.glob(pattern)):
        stat = file.stat()
        digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
