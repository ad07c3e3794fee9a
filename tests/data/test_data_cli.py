import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from data_rows import GOOD, raw_row

from recipe.retool.data import cli, rl
from recipe.retool.data.cli import main

ROOT = Path(__file__).resolve().parents[2]
QA = {"input": "What is 1+2?", "output": "3"}


def test_sft_writes_the_file_and_its_report(jsonl: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "sft.parquet"
    assert main(["sft", "--input", jsonl(raw_row(GOOD), raw_row("no box")), "--output", str(out)]) == 0
    assert pq.read_table(out).num_rows == 1
    report = json.loads((tmp_path / "sft.parquet.report.json").read_text())
    assert (report["rows_read"], report["rows_written"], report["dropped"]) == (2, 1, {"refused": 1})


def test_the_summary_is_printed(
    jsonl: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["sft", "--input", jsonl(raw_row(GOOD), raw_row("no box")), "--output", str(tmp_path / "x.parquet")])
    printed = capsys.readouterr().out
    assert "2 rows read" in printed
    assert "1 rows written" in printed
    assert "line 2: offset 6: the trace does not end in an answer" in printed


def test_a_long_list_is_cut_in_print_and_whole_in_the_file(
    jsonl: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = jsonl(raw_row(GOOD), *[raw_row("no box")] * 30)
    main(["sft", "--input", path, "--output", str(tmp_path / "x.parquet")])
    assert "... and 20 more in the report file" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "x.parquet.report.json").read_text())["drops"]) == 30


@pytest.mark.parametrize(("verb", "source"), [("eval", "aime-2025-retool"), ("eval", "AIME-2024-retool")])
def test_eval_writes_the_file(jsonl: Callable[..., str], tmp_path: Path, verb: str, source: str) -> None:
    out = tmp_path / "x.parquet"
    assert main([verb, "--source", source, "--input", jsonl(QA), "--output", str(out)]) == 0
    assert pq.read_table(out).num_rows == 1


def test_a_second_run_replaces_the_first(jsonl: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    for count in (3, 1):
        rows = [{"input": f"q {n}", "output": "1"} for n in range(count)]
        main(["eval", "--source", "aime-2025-retool", "--input", jsonl(*rows), "--output", str(out)])
        assert pq.read_table(out).num_rows == count
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "rows.jsonl",
        "x.parquet",
        "x.parquet.report.json",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sft", "--input", "no/such.parquet", "--output", "{}/x.parquet"], "no such file"),
        (["eval", "--input", "{}/rows.jsonl", "--output", "{}/x.parquet"], "--source"),
        (
            ["eval", "--source", "nope", "--input", "{}/rows.jsonl", "--output", "{}/x.parquet"],
            "'nope' is no known source",
        ),
        (
            ["rl", "--source", "aime-2025", "--input", "{}/rows.jsonl", "--output", "{}/x.parquet"],
            "of the kind eval",
        ),
        (
            ["eval", "--source", "aime-2025", "--input", "{}/rows.jsonl", "--output", "{}/x.parquet"],
            "no column id",
        ),
        (
            ["eval", "--source", "aime-2025-retool", "--input", "{}/rows.jsonl", "--output", "{}/x.json"],
            "end in .parquet",
        ),
        (
            [
                "eval",
                "--source",
                "aime-2025-retool",
                "--input",
                "{}/rows.jsonl",
                "--output",
                "{}/rows.jsonl/x.parquet",
            ],
            "cannot be written",
        ),
    ],
)
def test_mistakes_exit_with_2_and_one_message(
    jsonl: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    jsonl(QA)
    assert main([argument.format(tmp_path) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_the_output_may_not_be_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.parquet").write_text("precious")
    out = str(tmp_path / "x.parquet")
    assert main(["eval", "--source", "aime-2025", "--input", str(tmp_path), "--output", out]) == 2
    assert "is also an input" in capsys.readouterr().err
    assert (tmp_path / "x.parquet").read_text() == "precious"


def test_ctrl_c_exits_with_130_and_leaves_the_old_file(
    jsonl: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    out = tmp_path / "x.parquet"
    out.write_text("old")
    monkeypatch.setattr(rl, "verl_row", interrupt)
    assert main(["eval", "--source", "aime-2025-retool", "--input", jsonl(QA), "--output", str(out)]) == 130
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl", "x.parquet"]


@pytest.mark.parametrize("number", ["0", "-1", "x"])
def test_a_limit_below_one_is_refused(number: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["sft", "--limit", number])


def test_the_script_has_the_defaults_of_the_upstream_guide() -> None:
    args = cli._parser().parse_args(["sft"])
    assert (args.input, args.format) == ("JoeYing/ReTool-SFT", "hermes")
    assert args.output == "~/ReTool-SFT/data/train-00000-of-00001.parquet"


def test_the_script_runs_from_the_repository(jsonl: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    command = [sys.executable, "recipe/retool/retool_sft_preprocess.py", "--input", jsonl(raw_row(GOOD))]
    done = subprocess.run(
        [*command, "--output", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert pq.read_table(out).num_rows == 1


def test_the_room_imports_no_engine() -> None:
    heavy = "{'torch', 'ray', 'verl', 'vllm', 'transformers', 'datasets', 'pandas'}"
    program = f"import sys, recipe.retool.data.cli; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stderr.strip() == ""


def test_verify_runs_the_blocks_in_a_sandbox_of_its_own(jsonl: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "x.parquet"
    wrong = GOOD.replace("\n3\n", "\n4\n")
    assert (
        main(["sft", "--verify", "--input", jsonl(raw_row(GOOD), raw_row(wrong)), "--output", str(out)]) == 0
    )
    report = json.loads((tmp_path / "x.parquet.report.json").read_text())
    assert list(report["noted"].values()) == [1, 1]
    assert [note["where"] for note in report["notes"]] == ["row 1 code block 0"]


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:9"])
def test_a_sandbox_that_is_not_there_is_an_error(
    jsonl: Callable[..., str], tmp_path: Path, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    command = ["sft", "--verify", "--sandbox-url", url, "--input", jsonl(raw_row(GOOD))]
    assert main([*command, "--output", str(tmp_path / "x.parquet")]) == 2
    assert "sandbox" in capsys.readouterr().err
    assert not (tmp_path / "x.parquet").exists()
