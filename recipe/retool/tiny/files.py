"""The files of the arithmetic task: a base model and the parquet files that verl reads."""

import random
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from recipe.retool.data.output import atomic_path
from recipe.retool.env.settings import DEFAULT_ENV
from recipe.retool.tiny import arithmetic
from recipe.retool.tiny.model import save_tiny_model

TOOL_SHARE = 0.45  # of the SFT dialogues; the rest answer in the head
EASY_SHARE = 0.2  # of the problems


@dataclass(frozen=True)
class TaskFiles:
    """Where the files of a task lie."""

    folder: Path

    @property
    def base(self) -> Path:
        """The random model with its tokenizer."""
        return self.folder / "base"

    @property
    def sft(self) -> Path:
        """Dialogues of both habits: tool and head."""
        return self.folder / "sft.parquet"

    @property
    def train(self) -> Path:
        """Problems for RL."""
        return self.folder / "train.parquet"

    @property
    def test(self) -> Path:
        """Held-out problems; the hard ones occur nowhere else."""
        return self.folder / "test.parquet"


def write_task(
    files: TaskFiles, seed: int, sft_rows: int, train: int, test: int, env: str = DEFAULT_ENV
) -> None:
    """Write model and data; the same seed gives the same files.

    Args:
        files: Where.
        seed: Of model and data.
        sft_rows: Dialogues for the cold start.
        train: Problems for RL.
        test: Held-out problems.
        env: Environment whose format the dialogues show.

    Raises:
        StageError, DataError: The folder cannot be written.
    """
    save_tiny_model(files.base, seed)
    rng = random.Random(seed)
    stream = arithmetic.sample_problems("train", seed, EASY_SHARE)
    dialogues = [arithmetic.sft_row(next(stream), rng.random() < TOOL_SHARE, env) for _ in range(sft_rows)]
    _write(files.sft, dialogues)
    for split, count, target in (("train", train, files.train), ("test", test, files.test)):
        # One test set for all seeds, so that runs can be compared problem by problem.
        problems = arithmetic.distinct_problems(split, 0 if split == "test" else seed, count, EASY_SHARE)
        _write(target, [arithmetic.rl_row(problem, split, i) for i, problem in enumerate(problems)])


def _write(target: Path, rows: list[dict[str, object]]) -> None:
    with atomic_path(target) as part:
        pq.write_table(pa.Table.from_pylist(rows), part)
