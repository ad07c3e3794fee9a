"""Asking for what is missing, once each."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.env.counters import new_counters
from recipe.retool.errors import StageError
from recipe.retool.evaluation import driver as driver_module
from recipe.retool.evaluation.client import NotGenerated
from recipe.retool.evaluation.driver import Driver, Played, answer_seed
from recipe.retool.evaluation.problems import Problem, name_problems
from recipe.retool.evaluation.store import open_store
from recipe.retool.reward.score import compute_score

PROBLEMS = name_problems(
    {
        "raw_prompt": [{"role": "user", "content": f"What is {number}+1?"}],
        "data_source": "sums",
        "reward_model": {"ground_truth": str(number + 1)},
        "extra_info": {"index": number},
    }
    for number in range(4)
)


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    real = asyncio.sleep
    monkeypatch.setattr(driver_module.asyncio, "sleep", lambda _: real(0))


class Solver:
    """Knows the answers, and fails where ``fails`` says so."""

    def __init__(self, fails: Callable[[int], str] = lambda call: "") -> None:
        self.fails, self.calls = fails, 0

    async def play(self, problem: Problem, seed: int) -> Played:
        self.calls += 1
        trouble = self.fails(self.calls)
        if trouble == "fatal":
            raise NotGenerated("no", fatal=True)
        if trouble == "server":
            raise NotGenerated("busy")
        text = f"\\boxed{{{problem.gold}}}"
        counters = {**new_counters(), "sandbox_unavailable": float(trouble == "sandbox")}
        return Played("user\n?", text, {**counters, "num_turns": 2, "model_text": text})


def run(folder: Path, solver: Solver, samples: int = 3, at_once: int = 2) -> tuple[list[dict[str, Any]], Any]:
    with open_store(folder, {}) as store:
        driver = Driver(solver, compute_score, store, 0, failures=[])
        asyncio.run(driver.run(PROBLEMS, samples, at_once))
        return store.rows(), driver


@given(st.sets(st.tuples(st.integers(0, 3), st.integers(0, 2))), st.integers(1, 9))
def test_each_answer_is_asked_for_once(
    tmp_path_factory: Any, there: set[tuple[int, int]], at_once: int
) -> None:
    folder, solver = tmp_path_factory.mktemp("run"), Solver()
    with open_store(folder, {}) as store:
        for number, sample in there:
            store.append({"doc_id": PROBLEMS[number].doc_id, "sample": sample})
    rows, _ = run(folder, solver, at_once=at_once)
    found = sorted((row["doc_id"], row["sample"]) for row in rows)
    assert found == sorted((problem.doc_id, sample) for problem in PROBLEMS for sample in range(3))
    assert solver.calls == 12 - len(there)


def test_an_answer_is_scored_as_in_training(tmp_path: Path) -> None:
    rows, _ = run(tmp_path, Solver())
    assert {(row["acc"], row["score"]) for row in rows} == {(1.0, 1.0)}


def test_a_busy_server_is_asked_again(tmp_path: Path) -> None:
    rows, driver = run(tmp_path, Solver(lambda call: "server" if call == 1 else ""))
    assert (len(rows), driver.failures) == (12, [])


def test_an_answer_that_the_sandbox_failed_is_played_again(tmp_path: Path) -> None:
    rows, _ = run(tmp_path, Solver(lambda call: "sandbox" if call == 1 else ""))
    assert [row["sandbox_unavailable"] for row in rows] == [0.0] * 12


def test_answers_that_cannot_be_had_are_named_and_not_written(tmp_path: Path) -> None:
    rows, driver = run(tmp_path, Solver(lambda call: "sandbox" if call <= 2 else ""), at_once=1)
    assert len(rows) == 11
    assert driver.failures == [f"problem {PROBLEMS[0].doc_id}, answer 0: the sandbox did not answer"]


def test_too_many_failures_in_a_row_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"16 answers in a row could not be had; the last: .*busy"):
        run(tmp_path, Solver(lambda call: "server"), samples=8)


def test_a_refusal_ends_the_run_at_once(tmp_path: Path) -> None:
    solver = Solver(lambda call: "fatal")
    with pytest.raises(StageError, match="no"):
        run(tmp_path, solver)
    assert solver.calls <= 2


def test_the_seed_of_an_answer_does_not_depend_on_the_others() -> None:
    assert answer_seed(0, "a", 1) == 886027111
    assert len({answer_seed(s, d, n) for s in (0, 1) for d in "ab" for n in (0, 1)}) == 8


def test_equal_problems_have_names_of_their_own() -> None:
    rows = [dict(PROBLEMS[0].row), dict(PROBLEMS[0].row)]
    first, second = name_problems(rows)
    assert second.doc_id == f"{first.doc_id}x2"
    assert "_" not in second.doc_id  # figures take what is before it as the problem
