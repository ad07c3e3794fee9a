"""``retool watch`` on folders in every state that a run can be in."""

import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from recipe.retool import cli
from recipe.retool.watch.cli import Watch
from recipe.retool.watch.pace import Pace
from recipe.retool.watch.source import FolderReader

WIDTH, HEIGHT = 80, 24


def line(step: int, **more: Any) -> str:
    """One step as verl and the sampler log it."""
    data = {
        "retool/accuracy": min(1.0, step / 20),
        "retool/tool_call_rate": 0.5,
        "retool/code_pass_rate": 0.9,
        "critic/score/mean": step / 10 - 1,
        "critic/score/min": -1.0,
        "critic/score/max": 1.0,
        "timing_s/step": 20.0,
        "timing_s/gen": 15.0,
        "timing_s/update_actor": 4.0,
    }
    return json.dumps({"step": step, "data": {**data, **more}}) + "\n"


def write(path: Path, text: str, age: float = 0.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def running(folder: Path, steps: int = 6, age: float = 0.0, log_age: float = 0.0) -> Path:
    """A run of 40 steps in the midst of it."""
    write(folder / "config.yaml", "trainer:\n  total_training_steps: 40\n")
    write(folder / "engine.log", "starting\n", log_age)
    write(folder / "metrics" / "attempt_1.jsonl", "".join(map(line, range(1, steps + 1))), age)
    return folder


def screen(folder: Path, width: int = WIDTH, height: int | None = None, watch: Watch | None = None) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, highlight=False)
    with console.capture() as captured:
        console.print((watch or Watch(console, folder)).frame(height))
    return captured.get()


def test_a_run_under_way(tmp_path: Path) -> None:
    text = screen(running(tmp_path))
    assert "step 6 of 40 [###.................] 15%, 20.0 s a step, about 11 min 20 s left" in text
    assert "last step written 0 s ago" in text
    assert "gen 15.0 s (75%), update_actor 4.0 s (20%)" in text
    assert "no findings" in text


def test_the_table_compares_the_last_steps_with_the_first(tmp_path: Path) -> None:
    row = next(row for row in screen(running(tmp_path, 4)).splitlines() if row.startswith("accuracy "))
    assert row.split() == ["accuracy", "17.5%", "7.5%", "+10.0", "points"]


def test_an_engine_that_starts_shows_its_log(tmp_path: Path) -> None:
    write(tmp_path / "engine.log", "\x1b[36mone\x1b[0m\n10%\r20%\x1b]0;title\x07\n")
    text = screen(tmp_path)
    assert "no step yet; engine.log was written 0 s ago and ends so:" in text
    assert text.splitlines()[-2:] == ["one", "20%"]


def test_the_empty_file_of_a_logger_is_no_step(tmp_path: Path) -> None:
    write(tmp_path / "engine.log", "one\n")
    write(tmp_path / "metrics" / "attempt_1.jsonl", "")
    assert "no step yet; engine.log was written 0 s ago and ends so:" in screen(tmp_path)


def test_a_folder_without_a_file(tmp_path: Path) -> None:
    assert "neither metrics nor engine.log here yet" in screen(tmp_path)


@pytest.mark.parametrize(
    ("age", "log_age", "words"),
    [
        (90.0, 0.0, "last step written 1 min 30 s ago"),
        (500.0, 5.0, "25 times as long as usual: engine.log was written 5 s ago, so it is at work"),
        (5000.0, 4000.0, "engine.log was written 1 h 06 min ago, so the run hangs or was killed"),
    ],
)
def test_silence_is_told_as_what_it_may_be(tmp_path: Path, age: float, log_age: float, words: str) -> None:
    assert words in " ".join(screen(running(tmp_path, age=age, log_age=log_age)).split())


def test_a_validation_is_no_stall(tmp_path: Path) -> None:
    folder = running(tmp_path)
    write(folder / "metrics" / "attempt_1.jsonl", line(1, **{"timing_s/testing": 900.0}), 600.0)
    assert "as long as usual" not in screen(folder)


def test_an_ended_run_says_so(tmp_path: Path) -> None:
    folder = running(tmp_path, steps=40, age=60.0, log_age=60.0)
    os.utime(folder / "config.yaml", (0, 0))
    write(folder / "metrics.jsonl", "")
    assert "the run has ended; last step written 1 min 00 s ago" in screen(folder)


def test_a_run_that_broke_off_shows_the_end_of_its_log(tmp_path: Path) -> None:
    folder = running(tmp_path, age=60.0, log_age=50.0)
    write(folder / "engine.log", "CUDA error\n", 50.0)
    write(folder / "metrics.jsonl", "")
    text = screen(folder)
    assert "the run has ended before its last step" in text
    assert "CUDA error" in text


def test_a_resumed_run_is_not_ended_by_the_file_of_its_first_attempt(tmp_path: Path) -> None:
    folder = running(tmp_path, age=300.0, log_age=1.0)
    write(folder / "metrics.jsonl", "", 290.0)
    assert "has ended" not in screen(folder)


def test_a_new_attempt_takes_the_place_of_the_steps_it_repeats(tmp_path: Path) -> None:
    folder, console = running(tmp_path), Console(file=io.StringIO(), width=WIDTH)
    watch = Watch(console, folder)
    screen(folder, watch=watch)
    write(folder / "metrics" / "attempt_2.jsonl", line(4, **{"retool/dropped_rate": 0.5}))
    text = screen(folder, watch=watch)
    assert "attempt 2" in text
    assert "step 4 of 40" in text
    assert "dropped, step 4" in text


def test_a_resumed_run_that_validates_first_keeps_the_step_of_its_checkpoint(tmp_path: Path) -> None:
    folder = running(tmp_path)
    reader = FolderReader(folder)
    trained = reader.look().metrics[4]
    checked = {"val-core/set/acc/mean@1": 0.5}
    write(folder / "metrics" / "attempt_2.jsonl", json.dumps({"step": 4, "data": checked}) + "\n")
    look = reader.look()
    assert look.metrics[4] == {**trained, **checked}
    assert max(look.metrics) == 4


@pytest.mark.parametrize(
    ("steps", "words"), [(2, "no findings yet: most need 3 steps"), (3, "no findings\n")]
)
def test_a_run_of_few_steps_is_not_called_healthy(tmp_path: Path, steps: int, words: str) -> None:
    assert words in screen(running(tmp_path, steps=steps))


def test_a_half_written_line_waits_and_a_broken_one_is_counted(tmp_path: Path) -> None:
    folder, console = running(tmp_path), Console(file=io.StringIO(), width=WIDTH)
    watch, metrics = Watch(console, folder), tmp_path / "metrics" / "attempt_1.jsonl"
    with metrics.open("a") as stream:
        stream.write('{"step": 7, "da\n' + line(7) + line(8)[:40])
    text = screen(folder, watch=watch)
    assert "step 7 of 40" in text
    assert "lines that could not be read: 1" in text
    with metrics.open("a") as stream:
        stream.write(line(8)[40:])
    assert "step 8 of 40" in screen(folder, watch=watch)


def test_a_folder_that_was_begun_anew_is_read_anew(tmp_path: Path) -> None:
    folder, console = running(tmp_path), Console(file=io.StringIO(), width=WIDTH)
    watch = Watch(console, folder)
    screen(folder, watch=watch)
    write(folder / "metrics" / "attempt_1.jsonl", line(1))
    assert "step 1 of 40" in screen(folder, watch=watch)


QUICKSTART = [
    ({"task": False}, "task", "neither metrics nor engine.log"),
    ({"task": True, "sft": False}, "sft", "SFT loss"),
    ({"task": True, "sft": True, "merge": False}, "merge", "its checkpoint is being merged"),
    ({"task": True, "sft": True, "merge": True, "rl": False}, "rl", "step 6 of 40"),
    ({"task": True, "rl": True, "merge_rl": True, "evaluate": False}, "evaluate", "no step yet"),
    ({"task": True, "rl": True, "merge_rl": True, "evaluate": True}, "", "all stages are done"),
]


@pytest.mark.parametrize(("stages", "present", "words"), QUICKSTART)
def test_a_quickstart_in_every_stage(
    tmp_path: Path, stages: dict[str, bool], present: str, words: str
) -> None:
    running(tmp_path / "rl")
    sft = "".join(json.dumps({"step": step, "data": {"train/loss": 1 / step}}) + "\n" for step in range(1, 9))
    write(tmp_path / "sft" / "metrics" / "attempt_1.jsonl", sft)
    write(tmp_path / "evaluate_base" / "engine.log", "loading\n")
    record = {name: {"done": done, "seconds": 12.3} for name, done in stages.items()}
    write(tmp_path / "stages.json", json.dumps({"stages": record}))
    text = screen(tmp_path)
    assert text.splitlines()[0].endswith(f": {present}" if present else tmp_path.name)
    assert words in text


def test_an_evaluation_that_writes_its_answers(tmp_path: Path) -> None:
    rows = [{"acc": float(number % 2), "tool_calls": 1.0, "output": "x" * 99} for number in range(10)]
    write(tmp_path / "samples.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    write(tmp_path / "evaluation.json", '{"answers": 40}')
    text = screen(tmp_path)
    assert text.startswith(f"{tmp_path}: evaluation\n")
    assert "10 of 40 answers (25%)" in text
    assert "50.0%" in text


def test_an_evaluation_with_all_its_answers_is_not_called_hung(tmp_path: Path) -> None:
    write(tmp_path / "samples.jsonl", '{"acc": 1.0}\n', age=9000.0)
    write(tmp_path / "engine.log", "done\n", age=9000.0)
    write(tmp_path / "evaluation.json", '{"answers": 1}')
    text = screen(tmp_path)
    assert "all answers are there" in text
    assert "hangs" not in text


def test_an_evaluation_before_its_first_answer(tmp_path: Path) -> None:
    write(tmp_path / "evaluation.json", "{}")
    write(tmp_path / "engine.log", "starting\n", age=60.0)
    write(tmp_path / "vllm.log", "loading\n")
    text = screen(tmp_path)
    assert "no answer yet; vllm.log was written 0 s ago and ends so:" in text
    assert text.splitlines()[-1] == "loading"


@pytest.mark.parametrize("faults", [0, 1, 12])
def test_a_small_screen_is_not_overrun(tmp_path: Path, faults: int) -> None:
    folder = running(tmp_path)
    rows = [line(step, **{"retool/dropped_rate": float(step % 6 == 0)}) for step in range(6 * faults + 1)]
    write(folder / "metrics" / "attempt_1.jsonl", "".join(rows))
    text = screen(folder, height=HEIGHT)
    assert len(text.splitlines()) <= HEIGHT
    assert all(len(row) <= WIDTH for row in text.splitlines())
    assert ("more: retool watch RUN --once" in text) == (faults > 1)


@pytest.mark.parametrize("width", [1, 10, 40, 200])
def test_any_width_can_be_drawn(tmp_path: Path, width: int) -> None:
    assert screen(running(tmp_path), width=width)


@pytest.mark.parametrize(
    "name", ["config.yaml", "stages.json", "evaluation.json", "metrics.jsonl", "engine.log"]
)
@pytest.mark.parametrize(
    "text", ["", "{", "[1]", "a: [", '{"stages": 3, "trainer": 3}', '{"stages": {"rl": 1}}']
)
def test_no_content_of_a_file_is_an_exception(tmp_path: Path, name: str, text: str) -> None:
    write(tmp_path / "samples.jsonl", '{"acc": "x"}\n{"acc": 1.0}\n')
    write(tmp_path / "metrics" / "attempt_1.jsonl", line(1))
    write(tmp_path / name, text)
    assert screen(tmp_path)


def test_the_verb_prints_one_frame_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["watch", str(running(tmp_path))]) == 0
    shown = capsys.readouterr().out
    assert "step 6 of 40" in shown
    assert "\x1b" not in shown


def test_a_folder_that_is_not_there_is_an_error_with_the_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["watch", str(tmp_path / "none"), "--once"]) == 2
    assert "name the run folder" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "nan", "inf"])
def test_an_interval_is_a_time(seconds: str) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["watch", ".", "--interval", seconds])
    assert ended.value.code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_the_terminal_as_it_was(tmp_path: Path, number: int) -> None:
    ours, theirs = pty.openpty()
    watching = subprocess.Popen(
        [sys.executable, "-m", "recipe.retool.cli", "watch", str(running(tmp_path)), "--interval", "0.2"],
        stdin=theirs,
        stdout=theirs,
        env={**os.environ, "TERM": "xterm"},
    )
    os.close(theirs)
    seen = b""
    while b"last step written" not in seen:
        seen += os.read(ours, 65536)
    watching.send_signal(number)
    while b"not touched" not in seen:
        seen += os.read(ours, 65536)
    assert watching.wait(30) == 0
    os.close(ours)
    for on, off in ((b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h")):  # screen, cursor
        assert 0 <= seen.rindex(on) < seen.rindex(off)


def test_the_pace_of_what_stands_still_stays_what_it_was() -> None:
    times = iter([0.0, 10.0, 30.0])
    pace = Pace(lambda: next(times))
    pace.see(4)
    assert pace.seconds is None
    for count in (5, 5, 8, 8, 8):
        pace.see(count)
    assert pace.seconds == 7.5


def test_sft_that_stands_still_is_told_by_the_pace_that_was_seen(tmp_path: Path) -> None:
    def loss(steps: int, age: float) -> None:
        rows = (json.dumps({"step": step, "data": {"train/loss": 1.0}}) + "\n" for step in range(steps))
        write(tmp_path / "metrics" / "attempt_1.jsonl", "".join(rows), age)

    console = Console(file=io.StringIO(), width=WIDTH)
    watch = Watch(console, tmp_path)
    loss(3, 0.0)
    screen(tmp_path, watch=watch)
    loss(6, 100.0)
    assert "times as long as usual" in " ".join(screen(tmp_path, watch=watch).split())
