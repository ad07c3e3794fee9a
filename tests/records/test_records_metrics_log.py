"""Reading a file that is being written: each line once, none twice, none half."""

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.records.metrics_log import LineTail, MetricsTail, attempt_file


@given(st.lists(st.integers(1, 40), max_size=12))
def test_however_the_writer_is_cut_each_line_comes_once(cuts: list[int]) -> None:
    text = b"".join(
        json.dumps({"step": step, "data": {"x": "é" * step}}).encode() + b"\n" for step in range(6)
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "attempt_1.jsonl"
        tail, seen, written = MetricsTail(path), [], 0
        for cut in [*cuts, len(text)]:
            with path.open("ab") as stream:
                stream.write(text[written : written + cut])
            written += cut
            seen += [record.step for record in tail.new()]
        assert seen == list(range(6))
        assert tail.lines.bad == 0


def test_broken_lines_are_counted_and_skipped(tmp_path: Path) -> None:
    path = tmp_path / "attempt_1.jsonl"
    path.write_bytes(
        b'{"step": 1, "data": {}}\n{"step": 2, "da\n\n[1]\n{"step": "x", "data": {}}\n'
        b'\xff\xfe\n{"step": 3, "data": {}}\n'
    )
    tail = MetricsTail(path)
    assert [record.step for record in tail.new()] == [1, 3]
    assert tail.lines.bad == 4


def test_a_file_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    tail = LineTail(tmp_path / "later.jsonl")
    assert list(tail.new()) == []
    assert not tail.begun_anew


def test_a_file_that_shrank_was_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": 2}\n')
    tail = LineTail(path)
    assert len(list(tail.new())) == 2
    path.write_text('{"a": 3}\n')
    assert tail.begun_anew


def test_a_copy_among_the_attempts_does_not_stop_the_next_one(tmp_path: Path) -> None:
    for name in ("attempt_2.jsonl", "attempt_2 (copy).jsonl"):
        (tmp_path / name).touch()
    assert attempt_file(tmp_path).name == "attempt_3.jsonl"
