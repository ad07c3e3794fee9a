"""The names of our metrics, as verl's own loggers write them."""

import json
import math
from pathlib import Path

import pytest

from recipe.retool.env.counters import new_counters
from recipe.retool.records.behaviour import NAMES, behaviour
from recipe.retool.records.folders import read_metrics
from recipe.retool.watch.findings import findings

tracking = pytest.importorskip("verl.utils.tracking")

CALLED = {
    "tool_calls": 2.0, "tool_ok": 1.0, "model_turns": 3.0, "model_chars": 90.0, "first_call_chars": 30.0,
    "call_seconds": [0.1, 0.2],
}  # fmt: skip
ROWS = [{**new_counters(), **CALLED, "acc": 1.0}, {**new_counters(), **CALLED, "acc": 0.0}]


def test_tensorboard_has_every_name_as_it_is_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    monkeypatch.setenv("TENSORBOARD_DIR", str(tmp_path))
    figures = behaviour(ROWS)
    log = tracking.Tracking("retool", "a", ["tensorboard"])
    log.log(figures, step=3)
    log.finish()
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert set(events.Tags()["scalars"]) == set(NAMES) == set(figures)
    for name, value in figures.items():
        (event,) = events.Scalars(name)
        assert event.step == 3
        assert event.value == pytest.approx(value)


def test_the_file_logger_has_every_name_and_our_reader_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(tmp_path / "attempt_1.jsonl"))
    log = tracking.Tracking("retool", "a", ["file"])
    log.log(behaviour(ROWS), step=3)
    log.finish()
    metrics, bad = read_metrics([tmp_path / "attempt_1.jsonl"])
    assert bad == 0
    assert metrics == {3: behaviour(ROWS)}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_null_in_verls_file_and_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    monkeypatch.setenv("VERL_FILE_LOGGER_PATH", str(tmp_path / "attempt_1.jsonl"))
    log = tracking.Tracking("retool", "a", ["file"])
    log.log({"actor/grad_norm": value}, step=1)
    log.finish()
    assert json.loads((tmp_path / "attempt_1.jsonl").read_text())["data"] == {"actor/grad_norm": None}
    metrics, _ = read_metrics([tmp_path / "attempt_1.jsonl"])
    assert [finding.kind for finding in findings(metrics)] == ["not_finite"]


def test_the_documented_loggers_are_verls() -> None:
    assert {"tensorboard", "wandb", "swanlab", "trackio", "file", "console"} <= set(
        tracking.Tracking.supported_backend
    )
