"""Engines as child processes."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from recipe.retool.errors import StageError
from recipe.retool.stages.process import run_engine

DAEMON = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
open(sys.argv[1], "w").write(str(child.pid))
time.sleep(float(sys.argv[2]))
"""


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_daemon_of_the_engine_ends_with_it(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    run_engine("e", [sys.executable, "-c", DAEMON, str(pid_file), "0"], os.environ, tmp_path / "log")
    assert gone(int(pid_file.read_text()))


def test_ctrl_c_ends_the_engine_and_its_daemon(tmp_path: Path) -> None:
    import _thread

    pid_file = tmp_path / "pid"

    def interrupt() -> None:
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.05)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run_engine("e", [sys.executable, "-c", DAEMON, str(pid_file), "600"], os.environ, tmp_path / "log")
    assert gone(int(pid_file.read_text()))


STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write(str(__import__("os").getpid()))
time.sleep(600)
"""
RUNNER = """
import os, sys
from pathlib import Path
from recipe.retool.stages import process
process._GRACE_SECONDS = 3.0
process.run_engine("e", [sys.executable, "-c", sys.argv[1], sys.argv[2]], os.environ, Path(sys.argv[3]))
"""


def test_a_second_ctrl_c_does_not_stop_the_clean_up(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    words = [sys.executable, "-c", RUNNER, STUBBORN, str(pid_file), str(tmp_path / "log")]
    runner = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    while not (pid_file.exists() and pid_file.read_text()):
        time.sleep(0.05)
    for _ in range(2):
        runner.send_signal(signal.SIGINT)
        time.sleep(0.5)
    runner.wait(30)
    assert gone(int(pid_file.read_text()))


def test_failure_shows_the_last_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="ValueError: the reason"):
        run_engine(
            "e", [sys.executable, "-c", "raise ValueError('the reason')"], os.environ, tmp_path / "log"
        )


def test_a_program_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no-such-program"):
        run_engine("e", ["no-such-program"], os.environ, tmp_path / "log")


def test_the_log_before_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for text in ("one", "two"):
        run_engine("e", [sys.executable, "-c", f"print('{text}')"], os.environ, log)
    assert (log.read_text(), (tmp_path / "log.1").read_text()) == ("two\n", "one\n")
