"""SandboxFusion's contract of ``POST /run_code`` point by point, as observed on its server, against ours.

Where ours differs on purpose the row says so; docs/sandbox.rst lists the differences.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from recipe.retool.sandbox.embedded import EmbeddedSandbox

_KEYS = {"status", "message", "compile_result", "run_result", "executor_pod_name", "files"}
_RUN_KEYS = {"status", "execution_time", "return_code", "stdout", "stderr"}
_MEGABYTE = "y" * 1_000_000


@dataclass(frozen=True)
class _Case:
    """A request, and what the answer holds; None: no run."""

    name: str
    code: str
    status: str = "Success"
    run: str | None = "Finished"
    exit_code: int | None = 0
    stdout: str = ""
    stderr: str = ""  # a part of it
    most_seconds: float = 30.0
    body: dict[str, Any] = field(default_factory=dict)


_CASES = [
    _Case("exit code 0", "print(1)", stdout="1\n"),
    _Case("exception", "1/0", "Failed", exit_code=1, stderr="ZeroDivisionError"),
    _Case("syntax error", "print(", "Failed", exit_code=1, stderr="SyntaxError"),
    _Case("exit code", "import sys; sys.exit(3)", "Failed", exit_code=3),
    _Case("text as exit code", "import sys; sys.exit('no')", "Failed", exit_code=1, stderr="no"),
    _Case("SIGKILL", "import os; os.kill(os.getpid(), 9)", "Failed", exit_code=-9),  # fork server or not
    _Case("crash", "import ctypes; ctypes.string_at(0)", "Failed", exit_code=-11),
    _Case("time-out keeps flushed output", "print(1, flush=True)\nwhile True: pass", "Failed",
          "TimeLimitExceeded", None, "1\n", most_seconds=2.5, body={"run_timeout": 1}),
    # SandboxFusion loses what was printed and not flushed.
    _Case("time-out keeps lines", "print(1)\nwhile True: pass", "Failed",
          "TimeLimitExceeded", None, "1\n", most_seconds=2.5, body={"run_timeout": 1}),
    _Case("time-out 0", "print(1)", "Failed", "TimeLimitExceeded", None, most_seconds=1,
          body={"run_timeout": 0}),
    _Case("time-out -1", "print(1)", "Failed", "TimeLimitExceeded", None, most_seconds=1,
          body={"run_timeout": -1}),
    _Case("compile time-out has no effect", "print(1)", stdout="1\n", body={"compile_timeout": 0}),
    _Case("stdin null is closed", "input()", "Failed", exit_code=1, stderr="EOFError", body={"stdin": None}),
    _Case("stdin exact", "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read())", stdout=" a\r\n\té",
          body={"stdin": " a\r\n\té"}),
    _Case("1 MB of stdin read", "print(len(input()))", stdout="1000000\n", body={"stdin": _MEGABYTE}),
    _Case("1 MB of stdin unread", "print(1)", stdout="1\n", body={"stdin": _MEGABYTE}),
    _Case("no memory limit", "print(1)", stdout="1\n", body={"memory_limit_MB": -1}),
    _Case("memory limit 0 is none", "print(1)", stdout="1\n", body={"memory_limit_MB": 0}),
    _Case("numbers as text", "print(1)", stdout="1\n", body={"run_timeout": "2", "memory_limit_MB": "512"}),
    _Case("unknown fields", "print(1)", stdout="1\n", body={"dataset": "x", "config": {}}),
    _Case("empty code", ""),
    _Case("file without content is skipped", "import os; print(os.path.exists('a'))", stdout="False\n",
          body={"files": {"a": None}}),
    _Case("file", "print(open('d/a').read())", stdout="abc\n", body={"files": {"d/a": "YWJj"}}),
    _Case("missing file is left out", "print(1)", stdout="1\n", body={"fetch_files": ["nothing"]}),
    _Case("language without a runner", "SELECT 1", "SandboxError", None, body={"language": "sql"}),
    # SandboxFusion cuts this output, or calls it a time-out.
    _Case("1 MB of output", f"print({'y'!r} * 1_000_000)", stdout=_MEGABYTE + "\n"),
    # SandboxFusion sets the stack limit to the memory limit, so that no thread can start.
    _Case("numpy under verl's memory limit", "import numpy as n; print(n.ones(9) @ n.ones(9))",
          stdout="9.0\n", body={"memory_limit_MB": 1024}),
    _Case("threads under a memory limit", "import threading as t; t.Thread(target=print, args=(1,)).start()",
          stdout="1\n", body={"memory_limit_MB": 512}),
    # SandboxFusion replaces the whole output.
    _Case("bytes that are not UTF-8", "import sys; sys.stdout.buffer.write(b'a\\xffb')", stdout="a�b"),
    # SandboxFusion answers HTTP 500.
    _Case("lone surrogate", "print('\ud800')", stdout="?\n"),
    # SandboxFusion hands its own environment on.
    _Case("environment", "import os; print([n for n in os.environ if 'TOKEN' in n or 'RETOOL' in n])",
          stdout="[]\n"),
]  # fmt: skip


def _post(sandbox: EmbeddedSandbox, content: bytes, kind: str = "application/json") -> httpx.Response:
    return httpx.post(f"{sandbox.url}/run_code", content=content, headers={"content-type": kind},
                      trust_env=False, timeout=60)  # fmt: skip


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_the_answer_is_as_the_contract_says(sandbox: EmbeddedSandbox, case: _Case) -> None:
    body = {"code": case.code, "language": "python", **case.body}
    answer = _post(sandbox, json.dumps(body).encode())
    found = answer.json()
    assert (answer.status_code, set(found), found["status"]) == (200, _KEYS, case.status)
    assert (found["compile_result"], found["executor_pod_name"], found["files"]) == (None, None, {})
    if case.run is None:
        assert found["run_result"] is None
        assert found["message"]
        return
    run = found["run_result"]
    assert found["message"] == ""
    assert (set(run), run["status"], run["return_code"]) == (_RUN_KEYS, case.run, case.exit_code)
    assert run["stdout"] == case.stdout
    assert case.stderr in run["stderr"]
    assert 0 <= run["execution_time"] <= case.most_seconds
    if case.run == "TimeLimitExceeded" and case.body["run_timeout"] > 0:
        assert run["execution_time"] >= case.body["run_timeout"]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b'["code"]', "application/json"),
        (b'{"language": "python"}', "application/json"),
        (b'{"code": "1"}', "application/json"),
        (b'{"code": 1, "language": "python"}', "application/json"),
        (b'{"code": "1", "language": "python", "run_timeout": null}', "application/json"),
        (b'{"code": "1", "language": "python", "compile_timeout": null}', "application/json"),
        (b'{"code": "1", "language": "python", "memory_limit_MB": 100.5}', "application/json"),
        (b'{"code": "1", "language": "python"}', "text/plain"),
        (b"code=1&language=python", "application/x-www-form-urlencoded"),
    ],
)
def test_a_body_that_is_no_request_is_422(sandbox: EmbeddedSandbox, content: bytes, kind: str) -> None:
    answer = _post(sandbox, content, kind)
    assert answer.status_code == 422
    # Without the input and the links that SandboxFusion adds: programs do not belong in logs of callers.
    assert all(set(detail) == {"type", "loc", "msg"} for detail in answer.json()["detail"])


@pytest.mark.namespaces
def test_a_nul_byte_after_the_program(sandbox: EmbeddedSandbox) -> None:
    """Python 3.11 reads a file up to a NUL byte, as SandboxFusion does; 3.12 refuses, as the fork server."""
    run = _post(sandbox, json.dumps({"code": "print(1)\n\0", "language": "python"}).encode()).json()[
        "run_result"
    ]
    assert (run["return_code"], run["stdout"]) == (1, "")
    assert "null bytes" in run["stderr"]
