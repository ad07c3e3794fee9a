"""What the report knows of one run."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recipe.retool.records.folders import RunFolder
from recipe.retool.report.scores import Score
from recipe.retool.report.trajectory import Trajectory

Figures = Mapping[str, float]


@dataclass(frozen=True)
class Validation:
    """The validation of one step, or one evaluation.

    Attributes:
        score: Accuracy with its interval; None when no answer is scored.
        figures: By the names of ``behaviour`` and of ``recipe.retool.report.gather``.
    """

    score: Score | None
    figures: Figures


@dataclass(frozen=True)
class Pair:
    """The same problem at the first and at the last validation."""

    before: Trajectory
    after: Trajectory


@dataclass(frozen=True)
class Change:
    """How many problems of two validations became better, worse or stayed as they were.

    ``answers`` is the most answers that a problem has.
    """

    better: int
    worse: int
    same_right: int
    same_wrong: int
    unmatched: int
    answers: int = 1


@dataclass(frozen=True)
class Chosen:
    """The trajectories that are shown.

    Attributes:
        sample: The stratified sample.
        pairs: Answers before and after.
        change: Over all problems of first and last validation; None without two validations.
        read: Trajectories read, by class (``Trajectory.kind``).
    """

    sample: list[Trajectory] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    change: Change | None = None
    read: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RunData:
    """One run, read.

    Attributes:
        label: Short name, unique in the report.
        folder: Where it lies.
        config: ``config.yaml``; empty without one.
        summary: ``summary.json`` of a quickstart or an evaluation; empty without one.
        metrics: Metrics by step.
        training: Figures by step that were counted from the trajectories.
        validation: Validations by step.
        evaluation: Results by data source; empty for a training run.
        overall: All answers of an evaluation together.
        chosen: Trajectories for the viewer.
        notes: What is missing or was skipped, one sentence each.
        findings: What ``retool watch`` finds in the metrics, one sentence each.
    """

    label: str
    folder: RunFolder
    config: dict[str, Any]
    summary: dict[str, Any]
    metrics: dict[int, dict[str, Any]]
    training: dict[int, Figures]
    validation: dict[int, Validation]
    evaluation: dict[str, Validation]
    overall: Validation | None
    chosen: Chosen
    notes: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()

    @property
    def steps(self) -> list[int]:
        """Training steps of which something is known."""
        logged = {step for step, data in self.metrics.items() if "training/global_step" in data}
        return sorted({*logged, *self.training} - {0})

    @property
    def environment(self) -> str:
        """``retool.env.name``; empty when the config does not say."""
        node = self.config.get("retool")
        env = node.get("env") if isinstance(node, dict) else None
        return str(env.get("name", "")) if isinstance(env, dict) else ""

    @property
    def used_tools(self) -> bool | None:
        """Whether any call was run; None when nothing was counted."""
        rates = [
            figures["retool/tool_call_rate"]
            for figures in (*self.metrics.values(), *self.training.values(), *self._validated())
            if isinstance(figures.get("retool/tool_call_rate"), (int, float))
        ]
        return any(rate > 0 for rate in rates) if rates else None

    def _validated(self) -> list[Figures]:
        found = [validation.figures for validation in self.validation.values()]
        return [*found, self.overall.figures] if self.overall else found
