"""The HTTP contract of ``POST /run_code``, against a real server."""

import base64
import json
from typing import Any

import httpx
import pytest

from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import parse_response, response_body


def _post(sandbox: EmbeddedSandbox, **body: Any) -> httpx.Response:
    data = {"code": "print(1)", "language": "python", **body}
    return httpx.post(f"{sandbox.url}/run_code", content=json.dumps(data), trust_env=False, timeout=60,
                      headers={"content-type": "application/json"})  # fmt: skip


def test_ping(sandbox: EmbeddedSandbox) -> None:
    assert httpx.get(f"{sandbox.url}/v1/ping", trust_env=False).json() == "pong"


def test_a_good_run_has_every_key(sandbox: EmbeddedSandbox) -> None:
    body = _post(sandbox).json()
    seconds = body["run_result"].pop("execution_time")
    run = {"status": "Finished", "return_code": 0, "stdout": "1\n", "stderr": ""}
    assert body == {"status": "Success", "message": "", "compile_result": None, "run_result": run,
                    "executor_pod_name": None, "files": {}}  # fmt: skip
    assert 0 < seconds < 30


def test_a_failing_run_is_failed_with_its_exit_code(sandbox: EmbeddedSandbox) -> None:
    body = _post(sandbox, code="import sys; sys.exit(3)").json()
    assert (body["status"], body["run_result"]["status"], body["run_result"]["return_code"]) == (
        "Failed", "Finished", 3)  # fmt: skip


def test_a_time_out_has_no_exit_code(sandbox: EmbeddedSandbox) -> None:
    body = _post(sandbox, code="while True: pass", run_timeout=0.3).json()
    assert (body["status"], body["run_result"]["status"], body["run_result"]["return_code"]) == (
        "Failed", "TimeLimitExceeded", None)  # fmt: skip


@pytest.mark.parametrize("language", ["bash", "cpp", "klingon"])
def test_other_languages_are_a_sandbox_error(sandbox: EmbeddedSandbox, language: str) -> None:
    answer = _post(sandbox, language=language)
    assert (answer.status_code, answer.json()["status"], answer.json()["run_result"]) == (
        200,
        "SandboxError",
        None,
    )


@pytest.mark.parametrize(
    "body",
    [
        {"code": 3},
        {"code": None},
        {"run_timeout": None},
        {"run_timeout": float("nan")},
        {"run_timeout": float("inf")},
        {"memory_limit_MB": 100.5},
        {"files": ["a"]},
        {"files": {"\ud800": 3}},
        {"fetch_files": "a"},
    ],
)
def test_ill_typed_fields_are_422(sandbox: EmbeddedSandbox, body: dict[str, Any]) -> None:
    answer = _post(sandbox, **body)
    assert answer.status_code == 422
    assert set(answer.json()["detail"][0]) == {"type", "loc", "msg"}


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"code=1", b"\xff"])
def test_other_bodies_are_422_or_400(sandbox: EmbeddedSandbox, content: bytes) -> None:
    url = f"{sandbox.url}/run_code"
    assert httpx.post(url, content=content, trust_env=False).status_code in (400, 422)


def test_get_is_not_allowed_and_other_paths_are_not_found(sandbox: EmbeddedSandbox) -> None:
    codes = [httpx.get(sandbox.url + path, trust_env=False).status_code for path in ("/run_code", "/x")]
    assert codes == [405, 404]


def test_unknown_fields_are_ignored_and_numbers_may_be_text(sandbox: EmbeddedSandbox) -> None:
    assert _post(sandbox, nonsense=1, run_timeout="5", compile_timeout=0).json()["status"] == "Success"


def test_a_lone_surrogate_is_no_server_error(sandbox: EmbeddedSandbox) -> None:
    body = _post(sandbox, code="print('\ud800', input())", stdin="\udfff").json()
    assert body["run_result"]["stdout"] == "? ?\n"


def test_a_printed_surrogate_is_no_server_error(sandbox: EmbeddedSandbox) -> None:
    body = _post(sandbox, code="print(chr(0xd800))").json()
    assert "UnicodeEncodeError" in body["run_result"]["stderr"]


def test_files_in_and_out(sandbox: EmbeddedSandbox) -> None:
    body = _post(
        sandbox,
        code="open('b/out', 'w').write(open('b/in').read() * 2)",
        files={"b/in": base64.b64encode(b"xy").decode(), "skipped": None},
        fetch_files=["b/out", "missing"],
    ).json()
    assert body["files"] == {"b/out": base64.b64encode(b"xyxy").decode()}


@pytest.mark.parametrize(
    "body",
    [
        {"files": {"/tmp/x": ""}},
        {"files": {"../x": ""}},
        {"files": {"a": "!!"}},
        {"files": {"a": "", "a/b": ""}},
        {"files": {"n" * 300: ""}},
        {"fetch_files": ["/etc/passwd"]},
    ],
)
def test_bad_files_are_a_sandbox_error(sandbox: EmbeddedSandbox, body: dict[str, Any]) -> None:
    answer = _post(sandbox, **body)
    assert (answer.status_code, answer.json()["status"]) == (200, "SandboxError")
    assert "files" in answer.json()["message"]


@pytest.mark.parametrize(
    "result",
    [
        ExecutionResult(ExecutionStatus.OK, "a", "b", 0, 0.5),
        ExecutionResult(ExecutionStatus.ERROR, "", "ValueError", 1, 0.5),
        ExecutionResult(ExecutionStatus.TIMEOUT, "a", "", None, 2.0),
        ExecutionResult(ExecutionStatus.MEMORY, "", "x\nMemoryError\n", 1, 0.5),
        ExecutionResult(
            ExecutionStatus.MEMORY, "", "x\nnumpy._core._exceptions._ArrayMemoryError: U", 1, 0.5
        ),
        ExecutionResult(ExecutionStatus.KILLED, "", "", -11, 0.5),
    ],
)
def test_a_result_survives_the_wire(result: ExecutionResult) -> None:
    assert parse_response(200, response_body(result, {})) == result


@pytest.mark.parametrize("body", [None, [], "x", {}, {"status": "Success"}, {"status": "SandboxError"},
                                  {"status": "Success", "run_result": {"status": "Error"}},
                                  {"status": "Success", "run_result": []}])  # fmt: skip
def test_a_strange_answer_is_unavailable(body: Any) -> None:
    assert parse_response(200, body).status is ExecutionStatus.UNAVAILABLE
