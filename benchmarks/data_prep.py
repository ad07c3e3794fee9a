"""Time and memory of ``retool data rl`` on a file of the shape of the public DAPO-Math-17k.

That file holds 1,791,700 rows: 17,917 problems, each a hundred times. This script writes a made-up one of
the same shape and schema into a temporary folder, prepares it in a process of its own, drops the copies
with plain pandas in another one (about 5 GiB), and prints one table. Usage::

    python benchmarks/data_prep.py [--copies 100] [--problems 17917]
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

LEAD = (
    "Solve the following math problem step by step. The last line of your response should be of the form "
    "Answer: $Answer (without quotes) where $Answer is the answer to the problem.\n\n"
)
TAIL = '\n\nRemember to put your answer on its own line after "Answer:".'
NEAR_COPIES, CONFLICTS = 603, 24  # as in the public file: 17,917 -> 17,290 questions, 24 of them in conflict
COPIES_A_GROUP = 5  # row groups of 89,585 rows

OURS = "import sys; from recipe.retool.data.cli import main; sys.exit(main(sys.argv[1:]))"
NAIVE = """
import sys
import pandas as pd
frame = pd.read_parquet(sys.argv[1])
frame["question"] = [prompt[0]["content"] for prompt in frame["prompt"]]
frame["answer"] = [model["ground_truth"] for model in frame["reward_model"]]
frame = frame.drop_duplicates(["question", "answer"])
frame.to_parquet(sys.argv[2])
"""


@dataclass(frozen=True)
class Cost:
    """Wall-clock seconds and peak resident memory (GiB) of a process."""

    seconds: float
    peak_gib: float


def problems(count: int) -> list[tuple[str, str]]:
    """Made-up (question, answer) pairs; the last ones are near copies and conflicts of the first."""
    rng = random.Random(0)
    words = [
        "let",
        "the sum of",
        "all",
        "positive integers",
        "such that",
        "triangle",
        "circle",
        "$x^2 + y^2$",
        "root",
    ]
    fresh = count - NEAR_COPIES - CONFLICTS
    made = []
    for number in range(fresh):
        text = " ".join(rng.choice(words) for _ in range(rng.randint(15, 70)))
        made.append((f"Problem {number}: {text}. Find $m+n$.", str(rng.randint(-50, 9999))))
    near = [(question.replace("$m+n$.", "$m + n$"), answer) for question, answer in made[:NEAR_COPIES]]
    conflicts = [(question, answer + "1") for question, answer in made[-CONFLICTS:]]
    return made + near + conflicts


def write_input(path: Path, count: int, copies: int) -> None:
    """Write the problems ``copies`` times, each time in another order, in the official schema."""
    pairs = problems(count)
    rows = [
        {
            "data_source": "math_dapo",
            "prompt": [{"content": LEAD + question + TAIL, "role": "user"}],
            "ability": "MATH",
            "reward_model": {"ground_truth": answer, "style": "rule-lighteval/MATH_v2"},
            "extra_info": {"index": f"{number:08x}-a4cb-49d1-8c1e-62eaf2f74079"},
        }
        for number, (question, answer) in enumerate(pairs)
    ]
    table = pa.Table.from_pylist(rows)
    order = np.random.default_rng(0)
    with pq.ParquetWriter(path, table.schema) as writer:
        for done in range(0, copies, COPIES_A_GROUP):
            repeats = min(COPIES_A_GROUP, copies - done)
            positions = np.concatenate([order.permutation(count) for _ in range(repeats)])
            writer.write_table(table.take(pa.array(positions)), row_group_size=len(positions))


def run(program: str, *arguments: str) -> Cost:
    """Run a Python program in a process of its own."""
    began = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-c", program, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - began
    if child.returncode != 0:
        raise SystemExit(f"the measured program failed with {child.returncode}")
    return Cost(seconds, usage.ru_maxrss / 2**20)


def main() -> None:
    """Write the input, measure both, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--copies", type=int, default=100)
    parser.add_argument("--problems", type=int, default=17_917)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source, output, plain = (Path(folder) / f"{name}.parquet" for name in ("dapo", "ours", "pandas"))
        write_input(source, args.problems, args.copies)
        print(f"input: {args.problems * args.copies:,} rows, {source.stat().st_size / 2**20:,.0f} MiB")
        ours = run(OURS, "rl", "--source", "dapo-math-17k", "--input", str(source), "--output", str(output))
        report = json.loads(output.with_name(output.name + ".report.json").read_text())
        print(f"rows written: {report['rows_written']:,}; left out: {report['dropped']}")
        naive = run(NAIVE, str(source), str(plain))
    print(f"retool data rl           {ours.seconds:7.1f} s  {ours.peak_gib:6.2f} GiB peak")
    print(f"pandas drop_duplicates   {naive.seconds:7.1f} s  {naive.peak_gib:6.2f} GiB peak")
    times, memory = naive.seconds / ours.seconds, naive.peak_gib / ours.peak_gib
    print(f"ratio                    {times:7.1f} x  {memory:6.1f} x")


if __name__ == "__main__":
    main()
