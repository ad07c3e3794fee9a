"""``retool sandbox serve`` and ``retool sandbox check``."""

import os
import signal
import subprocess
import sys

import pytest

from recipe.retool.sandbox.cli import main
from recipe.retool.sandbox.client import SyncSandboxClient
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.types import ExecutionStatus

_SERVE = "import sys; from recipe.retool.sandbox.cli import main; sys.exit(main(sys.argv[1:]))"


def test_check_of_a_good_server(sandbox: EmbeddedSandbox, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", sandbox.url]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines()] == [
        [name, "ok"] for name in ("ping", "arithmetic", "numpy", "sympy")
    ]


def test_check_without_a_server(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "http://127.0.0.1:9"]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_check_of_several_servers_names_each(
    sandbox: EmbeddedSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", f"{sandbox.url},http://127.0.0.1:9"]) == 1
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == [sandbox.url]
    assert lines[-2:] == [["http://127.0.0.1:9"], ["ping", "FAILED"]]
    assert main(["check", "nonsense"]) == 2


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])
def test_serve_refuses_other_hosts(host: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--host", host]) == 2
    assert "--allow-remote" in capsys.readouterr().err


def test_serve_refuses_a_port_in_use(sandbox: EmbeddedSandbox, capsys: pytest.CaptureFixture[str]) -> None:
    port = sandbox.url.rpartition(":")[2]
    assert main(["serve", "--port", port]) == 2
    assert port in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [["--max-queue", "-1"], ["--max-wait", "0"], ["--max-wait", "nan"], ["--policy", "/none.yaml"]]
)
def test_serve_refuses_options_that_cannot_work(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "0", *options]) == 2
    assert options[0].lstrip("-") in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_serve_ends_cleanly(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _SERVE,
            "serve",
            "--port",
            "0",
            "--workers",
            "1",
            "--log-level",
            "warning",
            "--policy",
            "default",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    url = next(word for word in process.stdout.readline().split() if word.startswith("http"))
    assert SyncSandboxClient(url).run("print(1)").ok
    assert SyncSandboxClient(url).run("import os").status is ExecutionStatus.REFUSED
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode in (0, -number)  # uvicorn passes SIGTERM on once all is shut down
    assert "Traceback" not in errors
