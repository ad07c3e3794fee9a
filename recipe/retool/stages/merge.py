"""``retool merge``: FSDP shards -> a Hugging Face folder, checked against the shards it came from."""

import argparse
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from recipe.retool.errors import StageError
from recipe.retool.stages.commands import merge_command
from recipe.retool.stages.merge_check import logits_gap
from recipe.retool.stages.process import run_engine
from recipe.retool.stages.progress import say

MARKER = "retool_merge.json"
TOLERANCE = 1e-3  # largest difference of a logit; both sides run the same code, so 0 is what is seen
_SHARD = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")


@dataclass(frozen=True)
class Checkpoint:
    """One FSDP checkpoint.

    Attributes:
        folder: Holds the shards (``model_world_size_W_rank_R.pt``) and ``huggingface/``.
        step: Its training step; -1 when the folder's name does not tell.
        ranks: Number of shards.
    """

    folder: Path
    step: int
    ranks: int


def main(argv: list[str]) -> int:
    """Entry of the verb."""
    parser = argparse.ArgumentParser(prog="retool merge", description=__doc__)
    parser.add_argument(
        "checkpoints", type=Path, help="a run's checkpoints/, one global_step_N, or its actor/"
    )
    parser.add_argument(
        "--output", type=Path, help="Hugging Face folder (default: hf/ beside the checkpoints)"
    )
    parser.add_argument("--step", type=int, help="the step to merge (default: the latest complete one)")
    parser.add_argument(
        "--no-check", action="store_true", help="skip the reload and the comparison of logits"
    )
    parser.add_argument("--dry-run", action="store_true", help="print verl's command and stop")
    args = parser.parse_args(argv)
    output = args.output or args.checkpoints.resolve().parent / "hf"
    if args.dry_run:
        say(merge_command(find_checkpoint(args.checkpoints, args.step).folder, output).shell())
        return 0
    run_merge(args.checkpoints, output, args.step, check=not args.no_check)
    return 0


def run_merge(checkpoints: Path, output: Path, step: int | None = None, check: bool = True) -> Path:
    """Merge the latest (or the given) step into ``output``; nothing is left there unless all went well.

    Raises:
        StageError: No complete checkpoint, a failed merge, or logits that differ from the shards'.
    """
    found = find_checkpoint(checkpoints, step)
    output = output.resolve()
    if output.exists() and not (output / MARKER).is_file():
        raise StageError(f"{output} exists and was not written by `retool merge`: choose another --output")
    part = output.with_name(f".{output.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    command = merge_command(found.folder, part)
    try:
        run_engine("merge", command.argv, command.env, output.parent / "merge.log")
        gap = logits_gap(found.folder, found.ranks, part) if check else None
        if gap is not None and not gap <= TOLERANCE:
            raise StageError(f"merged model and shards of {found.folder} differ by {gap:.3g} in a logit")
        record = {
            "checkpoint": str(found.folder),
            "step": found.step,
            "ranks": found.ranks,
            "logits_gap": gap,
        }
        (part / MARKER).write_text(json.dumps(record, indent=2))
        shutil.rmtree(output, ignore_errors=True)
        part.rename(output)
    except OSError as error:
        raise StageError(f"cannot write {output}: {error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    checked = "not compared" if gap is None else f"largest difference of a logit {gap:.2g}"
    say(f"  merged step {found.step} ({found.ranks} shard{'s' * (found.ranks > 1)}) -> {output}  ({checked})")
    return output


def find_checkpoint(folder: Path, step: int | None = None) -> Checkpoint:
    """The checkpoint that ``folder`` is or holds.

    Args:
        folder: A shard folder, a ``global_step_N`` folder, or a folder of those.
        step: Which step; None takes the latest complete one.

    Raises:
        StageError: Nothing complete is there; the message says what is.
    """
    if not folder.is_dir():
        raise StageError(f"{folder}: no such folder")
    candidates = [folder, *folder.glob("global_step_*")]
    complete = []
    for candidate in candidates:
        for shards in (candidate, candidate / "actor"):
            ranks = complete_ranks(shards)
            if ranks:
                complete.append(Checkpoint(shards, _step_of(candidate), ranks))
    wanted = [c for c in complete if step is None or c.step == step]
    if not wanted:
        there = sorted(path.name for path in folder.iterdir()) or ["nothing"]
        which = "FSDP checkpoint" if step is None else f"checkpoint of step {step}"
        raise StageError(f"{folder}: no complete {which} (it holds {', '.join(there[:8])})")
    return max(wanted, key=lambda c: c.step)


def complete_ranks(folder: Path) -> int:
    """Number of shards when all of them and the model config are there, else 0."""
    matches = [
        m for path in folder.glob("model_world_size_*_rank_*.pt") if (m := _SHARD.fullmatch(path.name))
    ]
    worlds = {int(m.group(1)) for m in matches}
    if len(worlds) != 1 or not (folder / "huggingface" / "config.json").is_file():
        return 0
    world = worlds.pop()
    return world if {int(m.group(2)) for m in matches} == set(range(world)) else 0


def _step_of(folder: Path) -> int:
    found = re.findall(r"global_step_(\d+)", str(folder))
    return int(found[-1]) if found else -1
