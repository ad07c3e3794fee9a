"""Answers on disk."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.errors import StageError
from recipe.retool.evaluation.store import Store, open_store

IDENTITY = {"seed": 0, "sampling": {"top_p": 0.7}}


def row(doc: str = "a", sample: int = 0, **more: Any) -> dict[str, Any]:
    return {"doc_id": doc, "sample": sample, **more}


def test_answers_are_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    with open_store(tmp_path, IDENTITY) as store:
        store.append(row("a", 1, output="x\u2028y\n"))
    with open_store(tmp_path, IDENTITY) as store:
        assert store.rows() == [row("a", 1, output="x\u2028y\n")]


@given(st.integers(1, 200))
def test_a_half_written_answer_is_asked_again(tmp_path_factory: Any, cut: int) -> None:
    folder = tmp_path_factory.mktemp("store")
    with open_store(folder, IDENTITY) as store:
        for sample in range(3):
            store.append(row("a", sample, output="text" * 3))
        data = store.samples.read_bytes()
        store.samples.write_bytes(data[:-cut] if cut < len(data) else b"")
    with open_store(folder, IDENTITY) as store:
        whole = data[: max(0, len(data) - cut)].count(b"\n")
        assert store.done() == {("a", sample) for sample in range(whole)}
        store.append(row("b", 0))
        assert len(store.rows()) == whole + 1


def test_another_evaluation_s_folder_is_refused_by_the_key(tmp_path: Path) -> None:
    with open_store(tmp_path, IDENTITY) as store:
        store.append(row())
    with (
        pytest.raises(StageError, match="answers with seed=0, not 1"),
        open_store(tmp_path, {**IDENTITY, "seed": 1}),
    ):
        pass


def test_a_folder_without_answers_takes_any_evaluation(tmp_path: Path) -> None:
    for seed in (0, 1):
        with open_store(tmp_path, {"seed": seed}) as store:
            assert store.facts()["identity"] == {"seed": seed}


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    with (
        open_store(tmp_path, IDENTITY),
        pytest.raises(StageError, match="in use"),
        open_store(tmp_path, IDENTITY),
    ):
        pass


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    with open_store(tmp_path, IDENTITY) as store:
        store.samples.write_text("{oops\n")
        with pytest.raises(StageError, match="1 lines are damaged"):
            store.rows()


@contextmanager
def little_room() -> Iterator[None]:
    """No file of this process may grow beyond 200 bytes, as on a disk that is nearly full.

    Around single calls: the test runner writes between fixture and test, perhaps to a larger file.
    """
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_an_answer_that_does_not_fit_leaves_no_half_line(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with little_room():
        store.append(row("a"))
        with pytest.raises(StageError, match="cannot be written: File too large"):
            store.append(row("b", output="long" * 100))
        store.append(row("c"))
    assert [found["doc_id"] for found in store.rows()] == ["a", "c"]
