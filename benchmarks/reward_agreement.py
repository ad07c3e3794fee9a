"""Agreement of the reward with graded answers of other projects.

    python benchmarks/reward_agreement.py --data DIR

DIR holds math_verify_pairs_half.jsonl (Math-Verify's own test pairs),
qwen25math_pred_gt_correct_distinct.jsonl (Qwen2.5-Math predictions with that grader's verdicts) and
answer_edge_cases.json (answer endings); missing files are skipped. Disagreements that are decisions are
explained in docs/reward.rst.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.retool.reward.answer import clean, extract
from recipe.retool.reward.equality import compare
from recipe.retool.reward.score import compute_score, gold_text


@dataclass(frozen=True)
class Row:
    """One graded answer: ``solution`` is what is scored, ``expected`` the other grader's verdict."""

    gold: str
    solution: str
    expected: bool
    note: str = ""


def in_box(answer: str) -> str:
    """Return ``answer`` as the end of a response."""
    return f"The answer is \\boxed{{{answer}}}"


def pairs(path: Path) -> Iterator[Row]:
    """Math-Verify's pairs: predictions are whole texts, most of them without a box."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        options = {key: row[key] for key in row if key not in ("test", "gold", "pred", "expected")}
        yield Row(row["gold"], row["pred"], bool(row["expected"]), json.dumps(options) if options else "")


def qwen(path: Path) -> Iterator[Row]:
    """Qwen2.5-Math predictions: bare answers."""
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield Row(row["gt"], in_box(row["pred"]), bool(row["correct"]))


def edge_cases(path: Path) -> Iterator[Row]:
    """Hand-made ends of responses."""
    for row in json.loads(path.read_text(encoding="utf-8")):
        yield Row(row["ground_truth"], row["solution_tail"], row["should_be_correct"], row["case"])


def reward_accepts(row: Row) -> bool:
    """The verdict of the whole reward."""
    return compute_score("benchmark", row.solution, row.gold)["acc"] == 1.0


def equality_accepts(row: Row) -> bool:
    """The verdict of the comparison; a text without a box is compared as it stands, as Math-Verify does."""
    answer = extract(row.solution)
    text = answer.text if answer.boxed else clean(row.solution)
    return compare(text, gold_text(row.gold)).equal


FILES: dict[str, tuple[Callable[[Path], Iterator[Row]], Callable[[Row], bool]]] = {
    "math_verify_pairs_half.jsonl": (pairs, equality_accepts),
    "qwen25math_pred_gt_correct_distinct.jsonl": (qwen, reward_accepts),
    "answer_edge_cases.json": (edge_cases, reward_accepts),
}


def disagreements(path: Path) -> tuple[int, list[Row]]:
    """Return (number of rows, rows on which the verdicts differ) of one of ``FILES``."""
    read, accepts = FILES[path.name]
    rows = list(read(path))
    return len(rows), [row for row in rows if accepts(row) != row.expected]


def milliseconds(answer: str, gold: str, repeats: int) -> float:
    """Return the median time of one comparison."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        compare(answer, gold)
        times.append(1000 * (time.perf_counter() - begin))
    return statistics.median(times)


def report(path: Path) -> None:
    """Print the agreement on one file."""
    count, different = disagreements(path)
    print(f"{path.name}: n={count} agree={count - len(different)}")
    for row in different:
        verdict = f"expected {row.expected}, ours {not row.expected}"
        print(f"  {verdict}: gold {row.gold[-60:]!r} solution {row.solution[-80:]!r} {row.note}")


def main(argv: list[str] | None = None) -> None:
    """Print agreement and timing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with the graded files")
    data = parser.parse_args(argv).data
    for name in FILES:
        if (data / name).is_file():
            report(data / name)
        else:
            print(f"{name}: skipped, not in {data}")
    compare(r"\frac{1}{2}", "0.25")  # start a process: not part of the timing
    timings: list[tuple[str, Any]] = [
        ("integers", milliseconds("1,234", "1234", 1000)),
        ("symbolic", milliseconds(r"\frac{\sqrt{8}}{4}", r"\frac{1}{\sqrt{2}}", 50)),
    ]
    for name, value in timings:
        print(f"median comparison, {name}: {value:.3f} ms")


if __name__ == "__main__":
    main()
