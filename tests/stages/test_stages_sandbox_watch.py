"""The sandbox of a run is looked after."""

import os
import signal
import time
from pathlib import Path

import pytest

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.client import SyncSandboxClient
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.stages.sandbox_watch import SandboxWatch, working_sandbox


def test_a_killed_sandbox_is_started_again_on_its_port(capsys: pytest.CaptureFixture[str]) -> None:
    with EmbeddedSandbox(workers=1) as sandbox:
        url, watch = sandbox.url, SandboxWatch(sandbox.url, sandbox, every=0.0)
        os.kill(sandbox.pid, signal.SIGKILL)
        while os.waitid(os.P_PID, sandbox.pid, os.WEXITED | os.WNOWAIT) is None:
            time.sleep(0.01)
        watch()
        assert "exit code -9" in capsys.readouterr().out
        assert SyncSandboxClient(url).run("print(6*7)").stdout == "42\n"


def test_a_silent_sandbox_is_reported_once_and_its_return_too(capsys: pytest.CaptureFixture[str]) -> None:
    with EmbeddedSandbox(workers=1) as sandbox:
        watch = SandboxWatch(sandbox.url, every=0.0)
        port = int(sandbox.url.rsplit(":", 1)[1])
    for _ in range(5):
        watch()
    assert capsys.readouterr().out.count("does not answer") == 1
    with EmbeddedSandbox(port=port, workers=1):
        watch()
        watch()
    assert capsys.readouterr().out.count("answers again") == 1


def test_one_of_two_sandboxes_is_enough_and_the_other_is_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    dead = "http://127.0.0.1:9"
    with (
        EmbeddedSandbox(workers=1) as sandbox,
        working_sandbox(f"{sandbox.url},{dead}", tmp_path / "log") as watch,
    ):
        assert watch.url == f"{sandbox.url},{dead}"
        watch._every = watch._next = 0.0
        for _ in range(5):
            watch()
    out = capsys.readouterr().out
    assert out.count(f"the sandbox at {dead} does not work") == 1
    assert out.count(f"the sandbox at {dead} does not answer") == 1
    with pytest.raises(SandboxError, match="does not work"), working_sandbox(dead, tmp_path / "log"):
        pass
