"""Tools against text alone on the tiny task, by the same budget: the paper's first figure in miniature.

For each environment and seed it runs the whole quickstart (same problems, SFT steps and GRPO steps; only the
format of the dialogues differs: calls, code blocks, or written calculations) and prints a line. Runs that are
done are not repeated, so it can be stopped and started again:

    python benchmarks/ablation.py --out runs/ablation
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from recipe.retool.stages.quickstart import FORMATS, Settings, run_quickstart

GOAL = 0.8


def figures(folder: Path, summary: dict[str, Any]) -> dict[str, float | None]:
    """Accuracies, the first GRPO step whose rollouts reach ``GOAL``, and lengths of a finished run."""
    lines = (folder / "rl" / "metrics.jsonl").read_text().splitlines()
    steps = {record["step"]: record["data"] for record in map(json.loads, lines)}
    reached = [step for step, data in sorted(steps.items()) if data.get("retool/accuracy", 0.0) >= GOAL]
    evaluation = summary["evaluation"]
    return {
        "sft": summary["accuracy"]["sft"],
        "rl": summary["accuracy"]["rl"],
        "hard": evaluation["rl"]["by_difficulty"]["hard"]["accuracy"],
        "steps": float(reached[0]) if reached else None,
        "tokens sft": evaluation["sft"]["response_tokens"],
        "tokens rl": evaluation["rl"]["response_tokens"],
    }


def line(name: str, found: dict[str, float | None]) -> str:
    """One line of the table."""
    shares = "  ".join(f"{key} {found[key]:6.1%}" for key in ("sft", "rl", "hard"))
    steps = "never" if found["steps"] is None else f"{found['steps']:.0f}"
    lengths = f"tokens {found['tokens sft']:.1f} -> {found['tokens rl']:.1f}"
    return f"{name:<12} {shares}  steps to {GOAL:.0%} {steps:>5}  {lengths}\n"


def main() -> None:
    """Run what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--envs", nargs="+", default=list(FORMATS), choices=FORMATS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    args = parser.parse_args()
    rows = []
    found: dict[str, list[dict[str, float | None]]] = {}
    for seed in args.seeds:
        for env in args.envs:
            folder = (args.out / f"{env}_{seed}").resolve()
            result = figures(folder, run_quickstart(folder, Settings(seed=seed, env=env)))
            found.setdefault(env, []).append(result)
            rows.append(line(f"{env} {seed}", result))
            sys.stdout.write(rows[-1])
    sys.stdout.write("\n" + "".join(rows))
    for env, results in found.items():
        ends = [result["rl"] or 0.0 for result in results]
        sys.stdout.write(f"{env}: mean accuracy {statistics.fmean(ends):.1%} of {len(ends)} seeds\n")


if __name__ == "__main__":
    main()
