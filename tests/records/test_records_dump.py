"""Counters of trajectories on disk."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.records.dump import write_counters

rows = st.lists(
    st.dictionaries(st.sampled_from(["uid", "acc", "tool_calls", "odd"]), st.text() | st.floats())
)


@given(rows)
def test_each_row_is_a_line_of_plain_json(
    tmp_path_factory: object, given_rows: list[dict[str, object]]
) -> None:
    folder = Path(str(tmp_path_factory.mktemp("dump")))  # type: ignore[attr-defined]
    lines = write_counters(folder, 3, given_rows).read_text().splitlines()
    assert len(lines) == len(given_rows)
    assert all(isinstance(json.loads(line)["uid"], str) for line in lines)


def test_numbers_and_seconds_are_kept_and_texts_left_out(tmp_path: Path) -> None:
    row: dict[str, object] = {
        "uid": "a_0_0",
        "acc": 1,
        "pred": "4",
        "model_text": "long",
        "call_seconds": [0.25, 1],
    }
    row["segments"] = [(1, 2, "a"), (0, 1, "b")]
    kept = json.loads(write_counters(tmp_path, 1, [row]).read_text())
    assert kept == {
        "uid": "a_0_0",
        "acc": 1.0,
        "pred": "4",
        "segments": [[1, 2, "a"], [0, 1, "b"]],
        "call_seconds": [0.25, 1.0],
    }


def test_a_step_that_is_repeated_replaces_its_file(tmp_path: Path) -> None:
    write_counters(tmp_path, 1, [{"uid": "old"}])
    assert json.loads(write_counters(tmp_path, 1, [{"uid": "new"}]).read_text())["uid"] == "new"
    assert [path.name for path in tmp_path.rglob("*.*")] == ["1.jsonl"]
