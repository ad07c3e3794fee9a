"""The progress of an evaluation, from its file of answers."""

import io
from pathlib import Path

from rich.console import Console

from recipe.retool.evaluation.store import Store
from recipe.retool.stages.eval_progress import EvalProgress


def shown(folder: Path, samples: int, rows: list[dict[str, object]], more: list[dict[str, object]]) -> str:
    """What a terminal shows in the end, when ``rows`` are there before and ``more`` come."""
    store, screen = Store(folder), io.StringIO()
    for row in rows:
        store.append(row)
    store.note(answers=4)
    with EvalProgress(store, samples, Console(file=screen, force_terminal=True, width=100)) as progress:
        for row in more:
            store.append(row)
            progress()
    return screen.getvalue()


def test_answers_are_counted_with_those_of_an_earlier_run(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"sample": number, "acc": 1.0} for number in range(4)]
    assert "3/4" in shown(tmp_path, 4, rows[:1], rows[1:3])


def test_answers_that_are_not_asked_for_do_not_count(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"sample": number, "acc": 0.0} for number in (0, 1, 5)]
    printed = shown(tmp_path, 2, rows[2:], rows[:2])
    assert "2/4" in printed
    assert "3/4" not in printed


def test_a_half_written_answer_waits(tmp_path: Path) -> None:
    with (tmp_path / "samples.jsonl").open("w") as stream:
        stream.write('{"sample": 0, "a')
    assert "0/4" in shown(tmp_path, 1, [], [])
