"""Clients made for SandboxFusion, unchanged, against our server: verl's reward code and the SDK of PyPI."""

import asyncio
import json
import threading
from typing import Any

import pytest

from recipe.retool.sandbox.embedded import EmbeddedSandbox

_SQUARE = "```python\nprint(int(input()) ** 2)\n```"
_CASES = {"inputs": ["2", "3", "10"], "outputs": ["4", "9", "100"]}


def _score(
    sandbox: EmbeddedSandbox, completion: str, cases: Any, timeout: int = 10, **more: Any
) -> tuple[float, list[dict[str, Any]]]:
    fusion = pytest.importorskip("verl.utils.reward_score.sandbox_fusion")
    semaphore = threading.Semaphore(4)
    return fusion.compute_score(
        f"{sandbox.url}/run_code", semaphore, 1024, completion, cases, timeout=timeout, **more
    )


def test_verl_scores_right_answers(sandbox: EmbeddedSandbox) -> None:
    score, cases = _score(sandbox, _SQUARE, _CASES)
    assert (score, [case["status"] for case in cases]) == (1.0, ["success"] * 3)
    assert [case["stdout"] for case in cases] == ["4\n", "9\n", "100\n"]
    assert all(case["duration"] > 0 and case["exit_code"] == 0 for case in cases)
    assert _score(sandbox, _SQUARE, json.dumps(_CASES))[0] == 1.0


def test_verl_counts_a_wrong_answer(sandbox: EmbeddedSandbox) -> None:
    cases = {"inputs": ["2", "3", "10"], "outputs": ["4", "9", "1000"]}
    score, found = _score(sandbox, _SQUARE, cases)
    assert (score, [case["status"] for case in found]) == (
        pytest.approx(2 / 3), ["success", "success", "wrong_answer"])  # fmt: skip
    assert _score(sandbox, _SQUARE, cases, continuous=True)[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("code", "status", "run_status", "exit_code"),
    [
        ("print(4", "runtime_error", "Finished", 1),  # SandboxFusion does not compile Python either
        ("raise ValueError('no')", "runtime_error", "Finished", 1),
        ("import sys; sys.exit(3)", "runtime_error", "Finished", 3),
        ("import os; os.abort()", "runtime_error", "Finished", -6),
        ("x = bytearray(8 * 2**30)", "runtime_error", "Finished", 1),
        ("while True: pass", "timeout", "TimeLimitExceeded", None),
        ("input(); input()", "runtime_error", "Finished", 1),
    ],
)
def test_verl_tells_failures_apart(
    sandbox: EmbeddedSandbox, code: str, status: str, run_status: str, exit_code: int | None
) -> None:
    score, (case,) = _score(
        sandbox, f"```python\n{code}\n```", {"inputs": ["2"], "outputs": ["4"]}, timeout=1
    )
    assert (score, case["status"], case["run_status"], case["exit_code"]) == (
        0,
        status,
        run_status,
        exit_code,
    )
    assert case["api_request_error"] is None


def test_verl_calls_a_function(sandbox: EmbeddedSandbox) -> None:
    cases = {"fn_name": "plus_all", "inputs": ["2\n3", "4\n5"], "outputs": ["5", "9"]}
    methods = "```python\nclass Solution:\n    def plus_all(self, a, b):\n        return a + b\n```"
    assert _score(sandbox, methods, cases)[0] == 1.0
    assert _score(sandbox, "```python\ndef plus_all(a, b):\n    return a - b\n```", cases)[0] == 0.0
    missing = _score(sandbox, "```python\ndef plus(a, b):\n    return a - b\n```", cases)[1]
    assert all("not found" in case["stderr"] for case in missing)


def test_verl_runs_assertions(sandbox: EmbeddedSandbox) -> None:
    cases = {"assert_case": ["assert f(1) == 2", "assert f(1) == 3"]}
    score, found = _score(sandbox, "```python\ndef f(x):\n    return x + 1\n```", cases)
    assert (score, [case["status"] for case in found]) == (0.5, ["success", "runtime_error"])


def test_verl_has_many_cases_at_once(sandbox: EmbeddedSandbox) -> None:
    numbers = range(40)
    cases = {"inputs": [str(n) for n in numbers], "outputs": [str(n * n) for n in numbers]}
    assert _score(sandbox, _SQUARE, cases)[0] == 1.0


def test_verl_is_told_that_another_language_cannot_run(sandbox: EmbeddedSandbox) -> None:
    utils = pytest.importorskip("verl.utils.reward_score.sandbox_fusion.utils")
    results, (case,) = utils.check_correctness(
        f"{sandbox.url}/run_code", {"inputs": [""], "outputs": ["1"]}, "echo 1", language="bash"
    )
    assert (results, case["status"]) == ([-1], "sandbox_error")


def _sdk() -> Any:
    return pytest.importorskip("sandbox_fusion")


@pytest.mark.parametrize(
    ("code", "status", "run_status", "exit_code", "summary"),
    [
        ("print(input())", "Success", "Finished", 0, "right"),
        ("print(", "Failed", "Finished", 1, "failed"),
        ("import os; os.kill(os.getpid(), 6)", "Failed", "Finished", -6, "failed"),
        ("while True: pass", "Failed", "TimeLimitExceeded", None, "late"),
    ],
)
def test_the_sdk_reads_every_outcome(
    sandbox: EmbeddedSandbox, code: str, status: str, run_status: str, exit_code: int | None, summary: str
) -> None:
    sdk = _sdk()
    request = sdk.RunCodeRequest(code=code, language="python", stdin="é", run_timeout=1)
    for found in (
        sdk.run_code(request, endpoint=sandbox.url, max_attempts=1),
        asyncio.run(sdk.run_code_async(request, endpoint=sandbox.url, max_attempts=1)),
    ):
        run = found.run_result
        assert (found.status.value, run.status.value, run.return_code) == (status, run_status, exit_code)
        assert found.compile_result is None
        mapping = sdk.SummaryMapping(Success="right", Failed="wrong", RunFailed="failed", RunTimeout="late")
        assert sdk.summary_run_code_result(found, mapping) == summary
        assert status == "Failed" or run.stdout == "é\n"


def test_the_sdk_sends_and_fetches_files(sandbox: EmbeddedSandbox) -> None:
    sdk = _sdk()
    found = sdk.run_code(
        sdk.RunCodeRequest(
            code="open('out', 'wb').write(open('in', 'rb').read()[::-1])",
            language="python",
            files={"in": "YWJj"},
            fetch_files=["out"],
        ),
        endpoint=f"{sandbox.url}/",
    )
    assert found.files == {"out": "Y2Jh"}


def test_the_sdk_is_told_that_another_language_cannot_run(sandbox: EmbeddedSandbox) -> None:
    sdk = _sdk()
    with pytest.raises(Exception, match=r"Sandbox responded with error: .*[Pp]ython"):
        sdk.run_code(sdk.RunCodeRequest(code="1", language="cpp"), endpoint=sandbox.url, max_attempts=1)


def test_the_sdk_has_many_requests_at_once(sandbox: EmbeddedSandbox) -> None:
    sdk = _sdk()
    sdk.set_endpoint(sandbox.url)
    requests = [sdk.RunCodeRequest(code=f"print({number})", language="python") for number in range(40)]
    found = sdk.run_concurrent(sdk.run_code, args=[[request] for request in requests], concurrency=8)
    assert [each.run_result.stdout for each in found] == [f"{number}\n" for number in range(40)]
