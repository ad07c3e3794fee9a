"""The model that ``retool evaluate --model`` names: on a server, in a folder, on the hub, in FSDP shards."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from recipe.retool.errors import ConfigError, StageError
from recipe.retool.evaluation.client import KEY_VARIABLE, served_models
from recipe.retool.stages.compose import is_hub_name
from recipe.retool.stages.merge import MARKER, find_checkpoint, run_merge
from recipe.retool.stages.serve import SERVED_NAME

_WEIGHTS = ("*.safetensors", "*.bin")
_SHARDS = "model_world_size_*.pt"
_CONFIG = "config.json"


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
        ConfigError: No such folder, no model in it, or the server has several and none was chosen.
        StageError: The server does not answer, or the merge failed.
    """
    if is_url(model):
        url = _address(model)
        name = _chosen(url, served_name)
        return EvalModel(url, name, "", tokenizer, {"url": url, "name": name})
    path = Path(model).expanduser()
    if not path.is_dir():
        if not is_hub_name(model):
            raise ConfigError(f"--model {model}: no such folder, and no name on the hub (owner/name)")
        return EvalModel("", SERVED_NAME, model, tokenizer or model, {"name": model})
    source = path
    if not (path / _CONFIG).is_file():
        source, path = _merged(path, folder / "hf")
    place = str(path.resolve())
    identity = {"path": str(source.resolve()), "files": _fingerprint(source)}
    return EvalModel("", SERVED_NAME, place, tokenizer or place, identity)


def _address(url: str) -> str:
    """The address as it is kept in files, so without a password."""
    try:
        parts = urlsplit(url)
        found, secret = parts.hostname and parts.port != 0, parts.username or parts.password or parts.query
    except ValueError:
        found, secret = None, None
    if not found:
        raise ConfigError(f"--model {url}: no address of a server; one is such as http://127.0.0.1:8000/v1")
    if secret:
        raise ConfigError(
            f"--model: the address must hold no key or password; a key goes into {KEY_VARIABLE}"
        )
    return url.rstrip("/")


def _chosen(url: str, wanted: str) -> str:
    names = served_models(url)
    if wanted and wanted not in names:
        raise ConfigError(f"--model-name {wanted}: {url} serves {', '.join(names) or 'no model'}")
    if not wanted and len(names) != 1:
        raise ConfigError(f"{url} serves {', '.join(names) or 'no model'}: choose one with --model-name")
    return wanted or names[0]


def _merged(checkpoints: Path, output: Path) -> tuple[Path, Path]:
    """The folder of the shards, and them as a Hugging Face folder; merged ones are taken as they are."""
    try:
        found = find_checkpoint(checkpoints)
    except StageError as error:
        raise ConfigError(
            f"--model {checkpoints}: no config.json, so no Hugging Face model; {error}"
        ) from None
    if not _is_merge_of(found.folder, output / MARKER):
        run_merge(checkpoints, output, found.step if found.step >= 0 else None)
    return found.folder, output


def _is_merge_of(shards: Path, marker: Path) -> bool:
    """Whether a merge was made of these shards, and of those that lie there now."""
    if not marker.is_file() or json.loads(marker.read_text()).get("checkpoint") != str(shards):
        return False
    return all(file.stat().st_mtime <= marker.stat().st_mtime for file in shards.glob(_SHARDS))


def _fingerprint(path: Path) -> str:
    """Changes when the weights do: names, sizes and times of their files, and the config itself."""
    config = next(file for file in (path / _CONFIG, path / "huggingface" / _CONFIG) if file.is_file())
    digest = hashlib.sha256(config.read_bytes())
    for file in sorted(file for pattern in (*_WEIGHTS, _SHARDS) for file in path.glob(pattern)):
        stat = file.stat()
        digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]
