"""SandboxFusion's HTTP contract (``POST /run_code``) to and from our types, for both ends of the wire."""

import json
import math
import random
from collections.abc import Mapping
from typing import Any

from recipe.retool.sandbox.protocol import status_of_exit
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus

RUN_PATH = "/run_code"
SESSIONS_PATH = "/sessions"  # ours alone: SandboxFusion has no sessions
PING_PATH = "/v1/ping"
HEALTH_PATH = "/health"
METRICS_PATH = "/metrics"
TOKEN_VARIABLE = "RETOOL_SANDBOX_TOKEN"
# Seconds that the caller still waits, queue included; a server may give up when they are over.
PATIENCE_HEADER = "X-Request-Timeout"
REQUEST_ID_HEADER = "X-Request-ID"
BUSY_CODE = 503  # the only answer after which a call is sent again
_DENIED_CODES = (401, 403)
_SERVED = ("Success", "Failed")
# SandboxFusion leaves the message of a failed run empty, so that these can say what its fields do not.
_MESSAGES = {
    ExecutionStatus.REFUSED: "refused by the code policy",
    ExecutionStatus.OUTPUT_LIMIT: "stopped at the output limit",
    ExecutionStatus.MEMORY: "stopped at the memory limit",
    ExecutionStatus.CRASHED: "crashed",
    ExecutionStatus.KILLED: "killed",
    ExecutionStatus.ERROR: "ended with an error",
}
_STATUSES = {message: status for status, message in _MESSAGES.items()}


def request_body(code: str, timeout: float, memory_limit_mb: int, stdin: str | None = None) -> dict[str, Any]:
    """JSON body of a request. Lone surrogates, which JSON lets through and UTF-8 does not, become ``?``."""
    return {
        "code": encodable(code),
        "language": "python",
        "stdin": None if stdin is None else encodable(stdin),
        "compile_timeout": timeout,
        "run_timeout": timeout,
        "memory_limit_MB": memory_limit_mb,
        "files": {},
        "fetch_files": [],
    }


def encodable(text: str) -> str:
    """The text with what UTF-8 cannot hold replaced by ``?``."""
    return text.encode("utf-8", "replace").decode("utf-8")


def response_body(result: ExecutionResult, files: Mapping[str, str]) -> dict[str, Any]:
    """JSON body of an answer; all keys are always there, as with SandboxFusion."""
    if result.status is ExecutionStatus.UNAVAILABLE:
        return _answer("SandboxError", result.message, None, files)
    timed_out = result.status is ExecutionStatus.TIMEOUT
    run = {
        "status": "TimeLimitExceeded" if timed_out else "Finished",
        "execution_time": result.seconds,
        "return_code": result.return_code,
        "stdout": result.stdout,
        "stderr": result.stderr,
    }
    plain = timed_out or result.status is status_of_exit(result.return_code or 0, result.stderr)
    message = "" if plain else _MESSAGES.get(result.status, "")
    return _answer("Success" if result.ok else "Failed", message, run, files)


def _answer(
    status: str, message: str, run: dict[str, Any] | None, files: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "status": status,
        "message": message,
        "compile_result": None,
        "run_result": run,
        "executor_pod_name": None,
        "files": dict(files),
    }


def parse_response(code: int, body: Any) -> ExecutionResult:
    """Result out of an HTTP status code and decoded JSON; anything unexpected is UNAVAILABLE."""
    if code in _DENIED_CODES:  # the body may repeat what was sent
        return unavailable(f"HTTP {code}: the sandbox wants its token: set {TOKEN_VARIABLE} to the server's")
    if code != 200:
        return unavailable(f"HTTP {code}: {str(body)[:300]}")
    run = body.get("run_result") if isinstance(body, dict) else None
    if not isinstance(run, dict) or body.get("status") not in _SERVED:
        message = body.get("message") if isinstance(body, dict) else body
        return unavailable(f"the sandbox failed: {str(message)[:300]}")
    return_code = run.get("return_code")
    stdout, stderr = str(run.get("stdout") or ""), str(run.get("stderr") or "")
    if run.get("status") == "TimeLimitExceeded":
        status, return_code = ExecutionStatus.TIMEOUT, None
    elif run.get("status") == "Finished" and isinstance(return_code, int):
        status = _STATUSES.get(str(body.get("message"))) or status_of_exit(return_code, stderr)
    else:
        return unavailable(f"the sandbox failed: run status {run.get('status')!r}")
    return ExecutionResult(status, stdout, stderr, return_code, _seconds(run.get("execution_time")))


def _seconds(value: Any) -> float:
    try:
        seconds = float(value) if isinstance(value, (int, float)) else 0.0
    except OverflowError:  # JSON knows integers of any length
        return 0.0
    return seconds if math.isfinite(seconds) else 0.0


def decode(content: bytes | bytearray) -> object:
    """JSON, or the text where there is none."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace")


def ping_problem(code: int, body: object) -> str:
    """What is wrong with the answer to a ping; empty when nothing is."""
    if code != 200:
        return f"HTTP {code} to {PING_PATH}"
    return "" if body == "pong" else f"{PING_PATH} was not answered with pong: no sandbox?"


def unavailable(message: str, seconds: float = 0.0) -> ExecutionResult:
    """The result of a call that the sandbox did not serve."""
    return ExecutionResult(ExecutionStatus.UNAVAILABLE, message=message, seconds=seconds)


def backoff(attempt: int) -> float:
    """Seconds to wait before the next try: 0.1, 0.2, 0.4 ... at most 2, times a random half to one."""
    return min(0.1 * 2.0 ** min(attempt, 10), 2.0) * random.uniform(0.5, 1.0)
