"""How long ``retool report`` takes for a large run, how large the page is, and how soon a browser shows it.

A run of ``--steps`` steps and ``--trajectories`` training trajectories with counters, and eleven validations,
is made up in a temporary folder. Each round opens the page in a fresh headless Chromium from the disk: seconds
from the start of the navigation to the first paint with content (the summary), to the load event and to the
first chart, and the CPU seconds of the page's main thread by then, which other work on the machine does not
stretch as much. Needs playwright and a browser:

    python benchmarks/report_page.py
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from recipe.retool.env.counters import new_counters
from recipe.retool.report.behaviour import behaviour
from recipe.retool.report.write_report import write_report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
PROBLEMS = 30  # of a validation, as AIME has
ANSWERS = 8


def trajectory(rng: random.Random, step: int, steps: int, uid: str, problem: str) -> dict[str, Any]:
    """A dumped row with texts, counters and segments; better with the steps."""
    right = float(rng.random() < 0.2 + 0.6 * step / steps)
    calls = rng.randrange(5)
    code = "\n".join(f"value_{n} = sum(i * {n} for i in range({rng.randrange(99)}))" for n in range(8))
    call = json.dumps({"name": "code_interpreter", "arguments": {"code": code}})
    turns = [f"<tool_call>\n{call}\n</tool_call>" for _ in range(calls)]
    answer = f"\n<tool_response>\n{rng.random()}\n</tool_response>\n"
    reasoning = " ".join(f"Let me check case {rng.randrange(1000)}." for _ in range(40))
    segments = [part for turn in turns for part in ((1, 300, reasoning + turn), (0, 20, answer))]
    segments.append((1, 200, f"{reasoning} \\boxed{{{int(right)}}}"))
    return {
        **new_counters(), "uid": uid, "input": f"user\n{problem}\nassistant\n", "gts": "1",
        "pred": str(int(right)),
        "output": "".join(text for _, _, text in segments), "segments": segments, "step": step,
        "score": 2 * right - 1, "acc": right, "tool_calls": float(calls), "model_turns": calls + 1.0,
        "tool_ok": float(calls and calls - (rng.random() < 0.3)), "tool_errors": float(rng.random() < 0.1),
        "code_lines": 8.0 * calls, "response_tokens": 500.0 + 320 * calls, "model_chars": 900.0 * (calls + 1),
        "first_call_chars": 800.0, "truncated": float(rng.random() < 0.03), "call_seconds": [0.05] * calls,
        "reward_outcome": 2 * right - 1,
    }  # fmt: skip


def metrics_of(rng: random.Random, step: int, rows: list[dict[str, Any]]) -> dict[str, float]:
    """What verl and the sampler log at a step."""
    found = {
        "training/global_step": step, "critic/score/mean": sum(row["score"] for row in rows) / len(rows),
        "actor/entropy": rng.random(), "actor/grad_norm": rng.random(), "actor/ppo_kl": rng.random() / 100,
        "training/rollout_probs_diff_mean": rng.random() / 100,
        "training/rollout_probs_diff_max": rng.random(), "rollout_corr/k3_kl": rng.random() / 1000,
        "perf/throughput": 900 + rng.random(), "timing_s/step": 100.0, "timing_s/gen": 70.0,
        "timing_s/old_log_prob": 5.0, "timing_s/update_actor": 20.0, "timing_s/update_weights": 2.0,
    }  # fmt: skip
    turns = {f"retool/mismatch/k3_mean/turn_{turn}": rng.random() / 1000 for turn in range(1, 5)}
    return {**found, **turns, **behaviour(rows)}


def make_run(folder: Path, steps: int, trajectories: int) -> None:
    """Write the files of a run."""
    rng = random.Random(0)
    texts = ("uid", "input", "output", "gts", "score", "step")
    for name in ("rollouts/counters", "validation", "metrics"):
        (folder / name).mkdir(parents=True)
    logged = []
    for step in range(1, steps + 1):
        first, last = (trajectories * place // steps for place in (step - 1, step))
        rows = [
            trajectory(rng, step, steps, f"u{n}_0_0", f"What is problem {n}?") for n in range(first, last)
        ]
        _write(folder / f"rollouts/{step}.jsonl", [{key: row[key] for key in texts} for row in rows])
        counters = [{k: v for k, v in row.items() if k not in ("input", "output", "gts")} for row in rows]
        _write(folder / f"rollouts/counters/{step}.jsonl", counters)
        logged.append({"step": step, "data": metrics_of(rng, step, rows)})
    _write(folder / "metrics/attempt_1.jsonl", logged)
    for step in range(0, steps + 1, max(1, steps // 10)):
        rows = [
            trajectory(rng, step, steps, f"v{problem}_{answer}_0", f"What is test problem {problem}?")
            for problem in range(PROBLEMS)
            for answer in range(ANSWERS)
        ]
        for row in rows:
            del row["segments"]  # verl dumps validation without them
        _write(folder / f"validation/{step}.jsonl", rows)


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def load_seconds(page: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of each round by what they were spent on."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    seconds: dict[str, list[float]] = {
        name: [] for name in ("summary", "load event", "first chart", "CPU by then")
    }
    with sync_playwright() as playwright:
        for _ in range(rounds):
            browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
            tab = browser.new_page(viewport={"width": 1440, "height": 900})
            console = tab.context.new_cdp_session(tab)
            console.send("Performance.enable", {"timeDomain": "threadTicks"})
            tab.goto(page.as_uri())
            tab.wait_for_selector(".chart[data-state=drawn]")
            metrics = {one["name"]: one["value"] for one in console.send("Performance.getMetrics")["metrics"]}
            loaded = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000
            drawn = tab.evaluate("performance.getEntriesByName('first-chart')[0].startTime") / 1000
            painted = (
                tab.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime") / 1000
            )
            measured = (painted, loaded, drawn, metrics["TaskDuration"])
            for name, value in zip(seconds, measured, strict=True):
                seconds[name].append(value)
            browser.close()
    return seconds


def main() -> None:
    """Make the run, write the page, open it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--trajectories", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5, help="times the page is opened")
    parser.add_argument("--keep", type=Path, help="keep the page there")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_run(Path(folder) / "run", args.steps, args.trajectories)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.jsonl"))
        page = args.keep or Path(folder) / "report.html"
        started = time.perf_counter()
        result = write_report([Path(folder) / "run"], page)
        seconds = time.perf_counter() - started
        sys.stdout.write(
            f"run: {args.steps} steps, {result.read} trajectories, {size / 1e6:.0f} MB\n"
            f"page: {seconds:.1f} s to write, {result.bytes / 1e6:.2f} MB, {result.shown} trajectories\n"
        )
        for name, values in load_seconds(page, args.rounds).items():
            listed = ", ".join(f"{value:.2f}" for value in values)
            sys.stdout.write(f"{name}: median {median(values):.2f} s of {args.rounds} rounds ({listed})\n")


if __name__ == "__main__":
    main()
