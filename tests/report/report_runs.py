"""Run folders made up for tests of the report page."""

import json
from pathlib import Path
from typing import Any

from recipe.retool.env.counters import new_counters
from recipe.retool.records.behaviour import behaviour

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2>"
CALL = '<tool_call>\n{"name": "code_interpreter", "arguments": {"code": "print(6*7)  # six"}}\n</tool_call>'
ANSWER = "\nuser\n<tool_response>\n42\n</tool_response>\nassistant\n"


def row(number: int, step: int, right: bool, tool: bool = True, **more: Any) -> dict[str, Any]:
    """A trajectory with texts and counters; ``number`` names the problem."""
    output = f"{CALL}{ANSWER}\\boxed{{42}}" if tool else f"\\boxed{{42}} {HOSTILE}"
    return {
        **new_counters(), "uid": f"{step}x{number}_0_0",
        "input": f"user\nProblem {number} {HOSTILE}\nassistant\n",
        "output": output, "gts": "42", "pred": "42" if right else HOSTILE, "score": 2.0 * right - 1,
        "step": step,
        "acc": float(right), "tool_calls": float(tool), "tool_ok": float(tool), "model_turns": 1.0 + tool,
        "response_tokens": 50.0, "model_chars": 90.0, "code_lines": float(tool), "call_seconds": [0.1] * tool,
        "reward_outcome": 2.0 * right - 1, **more,
    }  # fmt: skip


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """A JSONL file, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))


def make_run(folder: Path, steps: int = 4, tool: bool = True, logged: bool = True) -> Path:
    """An RL run: four trajectories a step, validations of six problems at step 0 and at the last one."""
    texts = ("uid", "input", "output", "gts", "score", "step")
    metrics = []
    for step in range(1, steps + 1):
        rows = [row(n, step, n < 2, tool, truncated=float(n == 3)) for n in range(4)]
        if tool:
            rows[0]["segments"] = [[1, 30, CALL], [0, 7, ANSWER], [1, 5, "\\boxed{42}"]]
        write_lines(folder / f"rollouts/{step}.jsonl", [{key: one[key] for key in texts} for one in rows])
        counted = [{k: v for k, v in one.items() if k not in ("input", "output", "gts")} for one in rows]
        write_lines(folder / f"rollouts/counters/{step}.jsonl", counted)
        data = {"training/global_step": step, "critic/score/mean": step / 10, "actor/grad_norm": 0.5,
                "timing_s/step": 10.0, "timing_s/gen": 6.0, "timing_s/update_actor": 3.0}  # fmt: skip
        metrics.append({"step": step, "data": {**data, **behaviour(rows)}})
    for step in (0, steps):
        rows = [row(n, step, n < (3 if step == 0 else 5), tool) for n in range(6)]
        write_lines(folder / f"validation/{step}.jsonl", rows)
    if logged:
        write_lines(folder / "metrics/attempt_1.jsonl", metrics)
    environment = "hermes" if tool else "text"
    (folder / "config.yaml").write_text(
        f"retool:\n  env:\n    name: {environment}\n"
        f"trainer:\n  default_local_dir: {folder}/checkpoints\n"
        "algorithm:\n  rollout_correction:\n    bypass_mode: true\n"
    )
    return folder


def make_validation(folder: Path) -> Path:
    """A run that was validated and not trained."""
    make_run(folder, steps=1)
    for path in (*folder.glob("rollouts/**/*.jsonl"), folder / "metrics/attempt_1.jsonl"):
        path.unlink()
    (folder / "validation/1.jsonl").unlink()
    return folder


def make_evaluation(folder: Path) -> Path:
    """An evaluation: two problems of two data sets, three answers each."""
    rows = [
        {**row(n, 0, sample < 2 - n), "doc_id": n, "sample": sample, "uid": f"{n}_{sample}_0",
         "data_source": source}
        for source in ("aime_2024", "aime_2025")
        for n in range(2)
        for sample in range(3)
    ]  # fmt: skip
    write_lines(folder / "samples.jsonl", rows)
    (folder / "summary.json").write_text(json.dumps({"results": {}, "model": "some/model"}))
    return folder
