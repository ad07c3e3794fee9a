"""One line a step, for people."""

import sys
from pathlib import Path

from recipe.retool.records.metrics_log import MetricsTail, StepMetrics


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

    def __init__(self, metrics: Path) -> None:
        self._tail = MetricsTail(metrics)

    def __call__(self) -> None:
        for record in self._tail.new():
            if "timing_s/step" in record.data:
                say(train_line(record))
            for line in validation_lines(record):
                say(line)


def train_line(record: StepMetrics) -> str:
    """``step 3  reward ...`` from the metrics of verl and, where it stands, of our sampler."""
    data = record.data
    words = [f"  step {record.step:>4}", f"reward {data['critic/score/mean']:+.2f}"]
    shown = (("accuracy", "retool/accuracy"), ("tool rate", "retool/tool_call_rate"))
    words += [f"{name} {data[key]:.2f}" for name, key in shown if key in data]
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
