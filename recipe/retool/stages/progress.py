"""One line a step, for people."""

import sys
from pathlib import Path

from recipe.retool.errors import StageError
from recipe.retool.stages.metrics import MetricsTail, StepMetrics, read_trajectories

_CALL_TAG = "<tool_call>"


def say(text: str) -> None:
    """Write a line to the terminal at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class SftProgress:
    """Prints the SFT loss every ``every`` steps."""

    def __init__(self, metrics: Path, every: int = 50) -> None:
        self._tail = MetricsTail(metrics)
        self._every = every

    def __call__(self) -> None:
        for record in self._tail.new():
            loss = record.data.get("train/loss")
            if loss is not None and record.step % self._every == 0:
                say(f"  step {record.step:>4}  loss {loss:.3f}")


class RlProgress:
    """Prints a line for each RL step and for each validation."""

    def __init__(self, metrics: Path, rollouts: Path, right_from: float | None) -> None:
        """Prepare; nothing is read yet.

        Args:
            metrics: File of verl's file logger.
            rollouts: Folder of the trajectories of each step.
            right_from: Score from which on an answer is right; None when scores do not tell.
        """
        self._tail = MetricsTail(metrics)
        self._rollouts = rollouts
        self._right_from = right_from

    def __call__(self) -> None:
        for record in self._tail.new():
            if "timing_s/step" in record.data:
                say(train_line(record, self._rollouts / f"{record.step}.jsonl", self._right_from))
            for line in validation_lines(record):
                say(line)


def train_line(record: StepMetrics, rollouts: Path, right_from: float | None) -> str:
    """``step 3  reward ...`` from verl's metrics and the step's trajectories."""
    data = record.data
    words = [f"  step {record.step:>4}", f"reward {data['critic/score/mean']:+.2f}"]
    words += _rates(rollouts, right_from)
    words += [f"turns {data['num_turns/mean']:.1f}", f"{data['timing_s/step']:.1f} s"]
    return "  ".join(words)


def validation_lines(record: StepMetrics) -> list[str]:
    """One line for each validated data source."""
    lines = []
    for key, accuracy in record.data.items():
        section, _, rest = key.partition("/")
        source, _, metric = rest.partition("/acc/mean@")
        if section == "val-core" and metric:
            calls = record.data.get(f"val-aux/{source}/tool_calls/mean@{metric}")
            tools = "" if calls is None else f"  tool calls {calls:.2f}"
            lines.append(f"  validation at step {record.step}  {source}: avg@{metric} {accuracy:.3f}{tools}")
    return lines


def _rates(path: Path, right_from: float | None) -> list[str]:
    """Accuracy and tool rate of a step's rollouts; nothing while verl still writes them."""
    try:
        rows = read_trajectories(path)
    except StageError:
        return []
    calls = sum(_CALL_TAG in row["output"] for row in rows)
    words = [f"tool rate {calls / len(rows):.2f}"]
    if right_from is None:
        return words
    right = sum(row["score"] >= right_from for row in rows)
    return [f"accuracy {right / len(rows):.2f}", *words]
