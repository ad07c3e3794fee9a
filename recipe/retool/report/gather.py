"""Reading one run for the report, one dump file at a time."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.retool.records.behaviour import behaviour
from recipe.retool.records.files import count_lines, read_config, read_summary
from recipe.retool.records.folders import LineReader, RunFolder, read_metrics
from recipe.retool.report.pairs import OneValidation, change, pairs_of
from recipe.retool.report.run_data import Chosen, Figures, Pair, RunData, Validation
from recipe.retool.report.sampling import StratifiedSample, each_of, step_ranges
from recipe.retool.report.scores import Answers
from recipe.retool.report.trajectory import (
    EVALUATION,
    TRAINING,
    VALIDATION,
    Trajectory,
    is_padding,
    numbers_only,
    problem_key,
)
from recipe.retool.reward.values import as_number
from recipe.retool.watch.findings import findings

KINDS = 4  # right, wrong, failed code, truncated
SCORE, TOOL_SECONDS, PASSED = "report/score", "report/tool_seconds", "report/calls_passed"
Progress = Callable[[int], None]  # takes the bytes that were read since the last call


@dataclass(frozen=True)
class Limits:
    """How much of a run is shown.

    Attributes:
        trajectories: Most trajectories of the sample.
        pairs: Most problems before and after.
        characters: Most characters of all of them; pairs may take half of it.
    """

    trajectories: int = 1000
    pairs: int = 200
    characters: int = 12_000_000


class Gatherer:
    """Reads one run; ``progress`` hears of the bytes of trajectories that were read."""

    def __init__(self, folder: RunFolder, label: str, limits: Limits, progress: Progress) -> None:
        self._folder = folder
        self._label = label
        self._limits = limits
        self._progress = progress
        self._notes: list[str] = []
        self._read: Counter[str] = Counter()
        self._uncounted = 0
        files = [*folder.rollouts.values(), *folder.validation.values()]
        files += [folder.samples] if folder.samples else []
        groups = bool(folder.rollouts) + bool(folder.validation) + bool(folder.samples)
        self._ranges = {
            TRAINING: step_ranges(list(folder.rollouts)),
            VALIDATION: step_ranges(list(folder.validation)),
        }
        each = each_of(limits.trajectories, sum(map(count_lines, files)), self._strata(groups))
        self._sample: StratifiedSample[Trajectory] = StratifiedSample(each)

    def run(self) -> RunData:
        """Read everything.

        Raises:
            DataError: A file cannot be read.
        """
        folder = self._folder
        metrics, bad = read_metrics(folder.metrics)
        self._tell_bad(bad, "metrics")
        if folder.metrics and not metrics:
            self._notes.append("The metrics files hold no step.")
        training = {step: figures for step in folder.rollouts if (figures := self._train(step, metrics))}
        picks = self._picks()
        validation = {
            step: found for step in folder.validation if (found := self._validate(step, picks.get(step)))
        }
        evaluation, overall = self._evaluate()
        return RunData(
            label=self._label,
            folder=folder,
            config=read_config(folder, self._notes),
            summary=read_summary(folder, self._notes),
            metrics=metrics,
            training=training,
            validation=validation,
            evaluation=evaluation,
            overall=overall,
            chosen=self._choose(picks),
            notes=tuple(self._notes),
            findings=tuple(f"{one.kind}, {one.steps}: {one.text}" for one in findings(metrics)),
        )

    def _strata(self, groups: int) -> int:
        steps = sum(len(set(ranges.values())) for ranges in self._ranges.values())
        return KINDS * max(1, steps + (groups if self._folder.samples else 0))

    def _train(self, step: int, metrics: Mapping[int, Mapping[str, Any]]) -> Figures:
        counters = self._counters(step)
        rows: list[dict[str, Any]] = []
        dropped: list[dict[str, Any]] = []
        for row in self._rows(self._folder.rollouts[step]):
            if is_padding(row):
                continue
            whole = {**row, **counters.pop(str(row.get("uid")), {})}
            self._uncounted += "tool_calls" not in whole
            self._offer(Trajectory(TRAINING, step, whole))
            rows.append(numbers_only(whole))
        for row in counters.values():  # without a text: thrown away by dynamic sampling, or dropped
            (dropped if as_number(row.get("dropped")) else rows).append(row)
        logged = "retool/accuracy" in metrics.get(step, {})  # the sampler has counted already
        return {**({} if logged else behaviour(rows, dropped)), **_extras(rows)}

    def _counters(self, step: int) -> dict[str, dict[str, Any]]:
        path = self._folder.counters(step)
        rows = self._rows(path) if path.is_file() else ()
        return {str(row.get("uid")): row for row in rows}

    def _validate(self, step: int, pick: OneValidation | None) -> Validation | None:
        rows, answers = [], Answers()
        for row in self._rows(self._folder.validation[step]):
            one = Trajectory(VALIDATION, step, row)
            self._offer(one)
            if pick is not None:
                pick.offer(one)
            answers.add(problem_key(row), row)
            rows.append(numbers_only(row))
        if not rows:
            self._notes.append(f"The dump of the validation at step {step} holds no trajectory.")
            return None
        return Validation(answers.score(), {**behaviour(rows), **_extras(rows)})

    def _evaluate(self) -> tuple[dict[str, Validation], Validation | None]:
        if self._folder.samples is None:
            return {}, None
        rows: dict[str, list[dict[str, Any]]] = {}
        answers: dict[str, Answers] = {}
        together = Answers()
        for row in self._rows(self._folder.samples):
            source = str(row.get("data_source") or "all")
            self._offer(Trajectory(EVALUATION, None, row))
            answers.setdefault(source, Answers()).add(problem_key(row), row)
            together.add(problem_key(row), row)
            rows.setdefault(source, []).append(numbers_only(row))
        if not rows:
            self._notes.append(f"{self._folder.samples.name} holds no answer.")
            return {}, None
        found = {name: _validation(answers[name], rows[name]) for name in sorted(rows)}
        return found, _validation(together, [row for part in rows.values() for row in part])

    def _picks(self) -> dict[int, OneValidation]:
        steps = list(self._folder.validation)
        wanted = {steps[0], steps[-1]} if len(steps) > 1 else set()
        return {step: OneValidation(self._limits.pairs) for step in sorted(wanted)}

    def _choose(self, picks: Mapping[int, OneValidation]) -> Chosen:
        room = self._limits.characters
        pairs: list[Pair] = []
        changed = None
        if picks:
            first, last = picks.values()
            pairs, left = pairs_of(first, last, room // 2)
            room, changed = room - room // 2 + left, change(first, last)
        sample = self._sample.take(self._limits.trajectories, room, lambda one: one.characters)
        if self._uncounted:
            self._notes.append(
                f"{self._uncounted} training trajectories have no counters (rollouts/counters/STEP.jsonl): "
                "they are shown, and take no part in the figures of tool use."
            )
        return Chosen(sample, pairs, changed, dict(self._read))

    def _offer(self, one: Trajectory) -> None:
        kind = one.kind
        self._read[kind] += 1
        steps = self._ranges.get(one.group, {})
        self._sample.offer((one.group, steps.get(one.step or 0), kind), lambda: one)

    def _rows(self, path: Path) -> Iterator[dict[str, Any]]:
        reader = LineReader(path)
        told = 0
        for row in reader:
            if reader.bytes_read - told > 1_000_000:
                self._progress(reader.bytes_read - told)
                told = reader.bytes_read
            yield row
        self._progress(reader.bytes_read - told)
        self._tell_bad(reader.bad, str(path.relative_to(self._folder.folder)))

    def _tell_bad(self, bad: int, where: str) -> None:
        if bad:
            self._notes.append(
                f"{bad} {'line' if bad == 1 else 'lines'} of {where} "
                f"{'is' if bad == 1 else 'are'} no JSON object (half-written, say) and skipped."
            )


def _validation(answers: Answers, rows: Sequence[Mapping[str, Any]]) -> Validation:
    return Validation(answers.score(), {**behaviour(rows), **_extras(rows)})


def _extras(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Figures that only the report has: mean score, seconds in tools a response, calls that passed."""
    found: dict[str, float] = {}
    for name, key, whole in ((SCORE, "score", False), (TOOL_SECONDS, "tool_seconds", False),
                             (PASSED, "tool_ok", True)):  # fmt: skip
        values = [value for row in rows if (value := as_number(row.get(key))) is not None]
        if values:
            found[name] = sum(values) if whole else sum(values) / len(values)
    return found
