"""The page as a file: what it holds, what it says about what is missing, what it refuses."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_runs import make_evaluation, make_run, write_lines

from recipe.retool.cli import main
from recipe.retool.errors import DataError
from recipe.retool.report.figure_table import FIGURES
from recipe.retool.report.gather import Limits
from recipe.retool.report.run_facts import decimal
from recipe.retool.report.write_report import labels, pack, write_report


def unpacked(page: str, name: str) -> Any:
    """The data of one script element."""
    found = re.search(f'id="data-{name}">([A-Za-z0-9+/=]*)</script>', page)
    assert found
    return json.loads(gzip.decompress(base64.b64decode(found[1])))


def written(runs: list[Path], folder: Path, **limits: int) -> str:
    return write_report(runs, folder / "report.html", Limits(**limits)).path.read_text()


@given(
    st.recursive(st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_packed_data_ends_no_script_element(value: Any) -> None:
    packed = pack(value)
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", packed)
    assert json.loads(gzip.decompress(base64.b64decode(packed))) == value


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    page = written([make_run(tmp_path / "run")], tmp_path)
    assert not re.search(r"""(src|href)=["'](?!https://arxiv|https://verl|https://github|#|data:)""", page)
    assert "default-src 'none'" in page
    assert "hacked" not in page  # texts of trajectories lie in the packed data alone


def test_names_of_folders_are_escaped(tmp_path: Path) -> None:
    page = written([make_run(tmp_path / "<b>run&")], tmp_path)
    assert "<b>run" not in page
    assert "&lt;b&gt;run&amp;" in page


def test_every_figure_has_data_or_a_reason(tmp_path: Path) -> None:
    runs = [
        make_run(tmp_path / "tools"),
        make_run(tmp_path / "text", tool=False),
        make_evaluation(tmp_path / "eval"),
    ]
    for chosen in (runs[:1], runs[1:2], runs[2:], runs):
        figures = unpacked(written(chosen, tmp_path), "figures")["figures"]
        assert {figure.id for figure in FIGURES} < {figure["id"] for figure in figures}
        assert all(figure["series"] or figure["notes"] for figure in figures)


def test_a_run_without_tools_says_so(tmp_path: Path) -> None:
    page = written([make_run(tmp_path / "text", tool=False)], tmp_path)
    assert "no tool call was run (env=text has no tools)" in page


def test_figures_are_counted_where_nothing_was_logged(tmp_path: Path) -> None:
    logged, counted = (
        unpacked(written([make_run(tmp_path / str(flag), logged=flag)], tmp_path), "figures")["figures"]
        for flag in (True, False)
    )
    chosen = ("training-accuracy", "code-ratio", "pass-rate", "truncated-rate", "validation-accuracy")
    series = [
        {one["id"]: one["series"] for one in figures if one["id"] in chosen} for figures in (logged, counted)
    ]
    assert series[0] == series[1]
    assert all(series[0].values())


def test_accuracy_of_validation_comes_with_its_interval(tmp_path: Path) -> None:
    figures = unpacked(written([make_run(tmp_path / "run")], tmp_path), "figures")["figures"]
    (series,) = next(one for one in figures if one["id"] == "validation-accuracy")["series"]
    assert (series["x"], series["y"]) == ([0, 4], [pytest.approx(0.5), pytest.approx(5 / 6)])
    assert series["low"][0] < 0.5 < series["high"][0]


def test_mean_of_the_log_stands_in_for_a_missing_dump(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "validation/4.jsonl").unlink()
    with (run / "metrics/attempt_1.jsonl").open("a") as stream:
        stream.write(json.dumps({"step": 4, "data": {"val-core/aime/acc/mean@6": 0.75}}) + "\n")
    figures = unpacked(written([run], tmp_path), "figures")["figures"]
    (series,) = next(one for one in figures if one["id"] == "validation-accuracy")["series"]
    assert series["y"] == [pytest.approx(0.5), 0.75]


def test_skipped_lines_are_counted(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    for name in ("metrics/attempt_1.jsonl", "validation/4.jsonl", "rollouts/2.jsonl"):
        with (run / name).open("a") as stream:
            stream.write('{"half": "writ')
    (run / "validation/2.jsonl").touch()
    (run / "config.yaml").write_text("a: [")
    result = write_report([run], tmp_path / "report.html")
    said = "\n".join(result.notes)
    for part in ("1 line of metrics", "1 line of validation/4.jsonl", "1 line of rollouts/2.jsonl",
                 "validation at step 2 holds no trajectory", "config.yaml cannot be read"):  # fmt: skip
        assert part in said
        assert part in result.path.read_text()


def test_trajectories_without_counters_are_shown_and_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run / "rollouts/counters/3.jsonl").unlink()
    result = write_report([run], tmp_path / "report.html")
    assert result.notes[0].startswith("run: 4 training trajectories have no counters")
    assert result.shown == result.read == 28


def test_a_sample_says_how_many_there_are(tmp_path: Path) -> None:
    index = unpacked(
        written([make_run(tmp_path / "run", steps=30)], tmp_path, trajectories=40, pairs=2), "index"
    )
    listed = [row for row in index["rows"] if row["listed"]]
    assert len(listed) <= 40
    assert index["runs"][0]["read"] == {"right": 30 * 2 + 8, "wrong": 30 + 4, "truncated": 30}
    assert sum(index["runs"][0]["shown"].values()) == len(listed)
    assert {row["cut"] for row in listed} == {True, False}
    assert len({row["step"] for row in listed}) > 9


def chunk(page: str) -> Any:
    return unpacked(page, "chunk-0")


def test_nothing_of_a_masked_trajectory_is_shown_as_trained_on(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=1)
    counted = [json.loads(line) for line in (run / "rollouts/counters/1.jsonl").read_text().splitlines()]
    write_lines(run / "rollouts/counters/1.jsonl", [{**one, "masked": 1.0} for one in counted])
    page = written([run], tmp_path, trajectories=100)
    training = [row["set"] == "training" for row in unpacked(page, "index")["rows"]]
    shown = [
        {box["m"] for box in one["parts"]} for one, ours in zip(chunk(page), training, strict=True) if ours
    ]
    assert shown == [{0}] * 4


def test_rows_that_fill_up_a_batch_are_no_trajectories(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    before = write_report([run], tmp_path / "report.html")
    with (run / "rollouts/1.jsonl").open("a") as stream:
        stream.write(
            json.dumps({"uid": f"pad{'0' * 32}_0_0", "input": "", "output": "", "score": 0.0}) + "\n"
        )
    after = write_report([run], tmp_path / "report.html")
    assert (after.read, after.notes) == (before.read, ())


ODD = (None, True, 1e400, float("nan"), "x", 3, [None], [float("nan"), "x", 0.5], {"a": 1}, "\ud800")


@pytest.mark.parametrize("value", ODD, ids=repr)
def test_no_value_of_a_dump_breaks_the_page(tmp_path: Path, value: Any) -> None:
    run = make_run(tmp_path / "run", steps=1)
    names = (
        "uid",
        "input",
        "output",
        "gts",
        "score",
        "acc",
        "pred",
        "segments",
        "call_seconds",
        "tool_calls",
    )
    rows = [json.loads(line) for line in (run / "validation/1.jsonl").read_text().splitlines()]
    odd = [{**rows[0], name: value} for name in names] + [dict.fromkeys(rows[0], value)]
    write_lines(run / "validation/1.jsonl", odd)
    write_lines(run / "samples.jsonl", [{**one, "doc_id": value, "data_source": value} for one in odd])
    page = written([run], tmp_path)
    for one in chunk(page):
        assert all(isinstance(second, float) and second < 1e9 for second in one["seconds"])


def test_a_parse_failure_rate_of_a_run_whose_calls_all_fail_is_drawn(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", tool=False)
    rows = [json.loads(line) for line in (run / "validation/4.jsonl").read_text().splitlines()]
    write_lines(run / "validation/4.jsonl", [{**one, "tool_malformed": 1.0} for one in rows])
    figures = unpacked(written([run], tmp_path), "figures")["figures"]
    (series,) = next(one for one in figures if one["id"] == "parse-failure-rate")["series"]
    assert (series["x"], series["y"]) == ([4], [1.0])


def test_an_evaluation_with_one_answer_a_problem_says_why_there_is_no_pass_at_k(tmp_path: Path) -> None:
    run = make_evaluation(tmp_path / "run")
    rows = [json.loads(line) for line in (run / "samples.jsonl").read_text().splitlines()]
    write_lines(run / "samples.jsonl", [one for one in rows if one["sample"] == 0])
    figures = unpacked(written([run], tmp_path), "figures")["figures"]
    ((_, reason),) = next(one for one in figures if one["id"] == "pass-maj")["notes"]
    assert reason.startswith("one answer a problem")


def test_findings_stand_at_the_top(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with (run / "metrics/attempt_1.jsonl").open("a") as stream:
        stream.write(json.dumps({"step": 3, "data": {"retool/dropped_rate": 0.5}}) + "\n")
    summary = written([run], tmp_path).split('<section id="learning"')[0]
    assert "dropped, step 3: 50.0% of trajectories left the batch" in summary


@pytest.mark.parametrize(("value", "shown"), [(999.7, "1,000"), (123.4, "123"), (1.234, "1.23"), (None, "-")])
def test_numbers_are_shown_without_an_exponent(value: float | None, shown: str) -> None:
    assert decimal(value) == shown


def test_runs_with_equal_names_are_told_apart() -> None:
    assert labels([Path("/a/x/rl"), Path("/a/y/rl")]) == ["x/rl", "y/rl"]
    assert labels([Path("/a/x")] * 2) == ["x (1)", "x (2)"]


def test_settings_that_differ_are_listed_and_paths_of_the_runs_are_not(tmp_path: Path) -> None:
    page = written([make_run(tmp_path / "one"), make_run(tmp_path / "two", tool=False)], tmp_path)
    assert "1 setting differs between the runs" in page
    assert "retool.env.name" in page
    assert "default_local_dir" not in page


def test_nothing_to_show_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(tmp_path / "empty/metrics/attempt_1.jsonl", [])
    with pytest.raises(DataError, match="nothing to show: The metrics files hold no step"):
        write_report([tmp_path / "empty"], tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
    assert main(["report", str(tmp_path / "absent")]) == 2
    assert "no such folder" in capsys.readouterr().err


def test_the_verb_writes_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "new" / "page.html"
    assert main(["report", str(make_run(tmp_path / "run")), "--output", str(output)]) == 0
    assert output.read_text().startswith("<!doctype html>")
    assert "28 of 28 trajectories" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "run"), "--output", str(tmp_path)]) == 2
