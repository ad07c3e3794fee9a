"""``retool doctor key=value ...``: would this run start, and would it fit?"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from recipe.retool.device.checks import Check, error, ok, warning
from recipe.retool.device.memory import device_memory
from recipe.retool.errors import ConfigError
from recipe.retool.stages.choices import Choices, choices_of, model_path
from recipe.retool.stages.compose import check_paths, compose_config, resolved
from recipe.retool.stages.detection import check_count
from recipe.retool.stages.estimate import Rollout, estimate_rl
from recipe.retool.stages.estimate_text import rollout_warnings, training_warnings
from recipe.retool.stages.preflight import (
    OWN_PATHS,
    RL_BUDGET,
    before_composing,
    check_rl,
    check_rl_data,
)
from recipe.retool.stages.shapes import ModelShape, shape_of
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA

_GIB = 2**30
_SECONDS = 120.0
_COLUMNS = ("prompt", "data_source", "reward_model")
_CHECKPOINTS = 3  # trainer.max_actor_ckpt_to_keep, and the one that is being written
_CHECKPOINT_BYTES = 12  # a parameter: weight and Adam's two moments in float32
# Runs in a process of its own: transformers imports torch, which an unfinished driver set-up can kill.
_PROMPT_PROGRAM = """
import json, sys
from transformers import AutoTokenizer
from recipe.retool.env.stability import DIALOGUES, dialogue_drift
from recipe.retool.verl_ext.context_tokens import SuffixBuilder
path, tools, kwargs = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
tokenizer = AutoTokenizer.from_pretrained(path)
builder, drifts = SuffixBuilder(tokenizer, kwargs), {}
for name, (prompt, turns) in DIALOGUES.items():
    drift = dialogue_drift(tokenizer, builder, prompt, turns, tools, kwargs)
    if drift is not None:
        drifts[name] = [drift.tokens, drift.total, drift.position, drift.grown[:30], drift.whole[:30]]
shown = tokenizer.decode(builder.build_initial_tokens([{"role": "user", "content": "?"}], tools=tools))
print(json.dumps({"schema": tools[0]["function"]["name"] in shown, "drifts": drifts}))
"""


def examine_run(overrides: Sequence[str], usable: int | None = None) -> list[Check]:
    """The config, its size, its model and its data files.

    Args:
        overrides: Hydra overrides of the run.
        usable: Devices that torch can use on this node; None when that does not count, as on a CPU.
    """
    chosen = choices_of(overrides)
    words = model_path(overrides, "actor_rollout_ref.model.path")
    try:
        before_composing("rl", chosen, words)
        values = resolved(compose_config("retool_ppo", words))
        check_rl(chosen, values)
        check_paths(values, (), OWN_PATHS)
        check_count(values, usable)
    except ConfigError as problem:
        return [error("config", "refused", str(problem))]
    path = str(values["actor_rollout_ref"]["model"]["path"])
    checks = [ok("config", f"device={chosen.device} model={chosen.model} algorithm={chosen.algorithm}")]
    shape = shape_of(path, chosen.model)
    if shape is not None:
        checks += check_fit(chosen, values, shape)
    else:
        checks.append(warning("fit", f"the shape of {path} is unknown", "give a folder with its config.json"))
    checks.append(check_model(path, values["data"].get("apply_chat_template_kwargs")))
    return [*checks, *(check_files(values, key) for key in ("data.train_files", "data.val_files"))]


def check_fit(chosen: Choices, values: dict[str, Any], shape: ModelShape) -> list[Check]:
    """Memory of the devices and the host, and disk, against the estimate."""
    device = device_memory(chosen.device, chosen.model)
    training, rollout = estimate_rl(values, shape, device)
    told = [*training_warnings(training, device, RL_BUDGET), *rollout_warnings(rollout)]
    text = f"estimate {training.total:.0f} GiB of {device.gib:.0f} ({device.origin}) a device"
    checks = [warning("fit", text, "; ".join(told)) if told else ok("fit", text)]
    return [*checks, _host(rollout), _disk(values, shape)]


def check_model(path: str, template_kwargs: Mapping[str, Any] | None = None) -> Check:
    """The tokenizer loads, its template shows the tool, and a rollout's tokens are the template's own."""
    name = "model"
    if not (Path(path) / "config.json").is_file():
        return error(
            name, f"{path}: no config.json", "give a Hugging Face folder: model.path=FOLDER (`retool merge`)"
        )
    given = [json.dumps(value) for value in ([CODE_INTERPRETER_SCHEMA], dict(template_kwargs or {}))]
    command = [sys.executable, "-c", _PROMPT_PROGRAM, path, *given]
    try:
        done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=_SECONDS)
        seen = json.loads(done.stdout.strip().splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return error(
            name, f"{path}: tokenizer or chat template fails", "try AutoTokenizer.from_pretrained on it"
        )
    if not seen["schema"]:
        return error(name, f"{path}: the template does not show the tools", "use a template with tools")
    if seen["drifts"]:
        return warning(
            name,
            f"{path}: the template changes earlier text: {_drift_text(seen['drifts'])}",
            "tokens of training and of a later rendering differ; prefer a template that only appends",
        )
    return ok(name, f"{path}: tokenizer loads, the template shows the tool and only appends")


def _drift_text(drifts: Mapping[str, Sequence[Any]]) -> str:
    """Every dialogue with a difference; the text of the first."""
    (name, (tokens, total, position, grown, whole)), *more = drifts.items()
    others = "".join(f"; {name}: {drift[0]} of {drift[1]}" for name, drift in more)
    return f"{name}: {tokens} of {total} tokens, from {position} on {grown!r} becomes {whole!r}{others}"


def check_files(values: dict[str, Any], key: str) -> Check:
    """Data files are there and have verl's columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        check_paths(values, [key])
        if key == "data.train_files":
            check_rl_data(values)
    except ConfigError as problem:
        return error(key, "cannot be used", str(problem))
    listed = values["data"][key.split(".")[1]]
    rows = 0
    for file in map(str, listed if isinstance(listed, list) else [listed]):
        if "://" in file:
            return ok(key, f"{file}: not local, not looked into")
        try:
            meta = pq.read_metadata(Path(file).expanduser())
        except (OSError, pa.ArrowException) as problem:
            return error(key, f"{file}: {problem}", "write it with `retool data rl|eval`")
        missing = [column for column in _COLUMNS if column not in meta.schema.to_arrow_schema().names]
        if missing:
            return error(key, f"{file}: no column {missing[0]!r}", "write it with `retool data rl|eval`")
        rows += meta.num_rows
    return ok(key, f"{rows} rows")


def _host(found: Rollout) -> Check:
    free = psutil.virtual_memory().available / _GIB
    text = f"estimate {found.host:.0f} GiB for what is offloaded, {free:.0f} available"
    if found.host <= free:
        return ok("host memory", text)
    return warning("host memory", text, "a host with more memory, or actor.fsdp_config.*_offload=False")


def _disk(values: dict[str, Any], shape: ModelShape) -> Check:
    folder = Path(str(values["trainer"]["default_local_dir"])).absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free / _GIB
    need = _CHECKPOINTS * _CHECKPOINT_BYTES * shape.parameters() / _GIB
    text = f"{free:.0f} GiB free at {there}, {_CHECKPOINTS} checkpoints take {need:.0f}"
    if need <= free:
        return ok("checkpoints", text)
    return warning("checkpoints", text, "trainer.default_local_dir=FOLDER on a larger disk, or keep fewer")
