"""Results stay what they were: from the bytes a program prints to what our client says of it."""

import re
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.sandbox.client import SyncSandboxClient
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.output import CappedOutput
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import parse_response, response_body

_MARK = re.compile(r"\n\[\.\.\. (\d+) bytes left out \.\.\.\]\n")


def _fed(chunks: list[bytes], limit: int) -> CappedOutput:
    output = CappedOutput(limit)
    for chunk in chunks:
        output.feed(chunk)
    return output


@given(st.lists(st.binary(max_size=300), max_size=12), st.integers(2, 400))
def test_output_is_whole_or_head_tail_and_a_true_count(chunks: list[bytes], limit: int) -> None:
    """Whatever the bytes (no UTF-8, NULs, newlines), however they are cut into chunks."""
    raw, output = b"".join(chunks), _fed(chunks, limit)
    half, text = limit // 2, output.text()
    assert output.total == len(raw)
    if len(raw) <= 2 * half:
        assert text == raw.decode("utf-8", "replace")
        return
    head, tail = raw[:half].decode("utf-8", "replace"), raw[-half:].decode("utf-8", "replace")
    assert text == f"{head}\n[... {len(raw) - 2 * half} bytes left out ...]\n{tail}"


@given(st.text(max_size=400), st.integers(1, 7))
def test_text_survives_any_chunks(text: str, size: int) -> None:
    raw = text.encode("utf-8", "replace")
    chunks = [raw[i : i + size] for i in range(0, len(raw), size)]
    assert _fed(chunks, 10_000).text() == raw.decode()


def test_a_long_stream_keeps_its_ends_and_little_memory() -> None:
    output = CappedOutput(1000)
    for number in range(20_000):
        output.feed(b"%09d\n" % number)
    text = output.text()
    assert text.startswith("000000000\n000000001\n")
    assert text.endswith("000019999\n")
    found = _MARK.search(text)
    assert found is not None
    assert int(found.group(1)) == 200_000 - 1000
    assert len(output._tail) < 200_000


_ENDS = [
    (ExecutionStatus.OK, 0, ""),
    (ExecutionStatus.ERROR, 1, "ValueError: x\n"),
    (ExecutionStatus.ERROR, 1, "MemoryError\n"),  # a runner that knows better than the text
    (ExecutionStatus.MEMORY, 1, "MemoryError\n"),
    (ExecutionStatus.MEMORY, -9, ""),  # killed by the kernel for its memory
    (ExecutionStatus.OUTPUT_LIMIT, -9, ""),
    (ExecutionStatus.OUTPUT_LIMIT, 0, ""),
    (ExecutionStatus.CRASHED, -11, ""),
    (ExecutionStatus.KILLED, -9, ""),
    (ExecutionStatus.KILLED, -11, ""),
    (ExecutionStatus.REFUSED, 1, "Refused"),
    (ExecutionStatus.TIMEOUT, None, ""),
]


@pytest.mark.parametrize(("status", "return_code", "stderr"), _ENDS)
def test_every_status_survives_the_wire_in_sandboxfusions_words(
    status: ExecutionStatus, return_code: int | None, stderr: str
) -> None:
    result = ExecutionResult(status, "out", stderr, return_code, 0.5)
    body = response_body(result, {})
    assert parse_response(200, body) == result
    assert set(body) == {"status", "message", "compile_result", "run_result", "executor_pod_name", "files"}
    assert body["status"] == ("Success" if result.ok else "Failed")
    assert body["run_result"]["status"] == ("TimeLimitExceeded" if return_code is None else "Finished")


def test_the_table_has_every_status_that_a_run_can_have() -> None:
    assert {status for status, _, _ in _ENDS} | {ExecutionStatus.UNAVAILABLE} == set(ExecutionStatus)


@given(st.text(max_size=40))
def test_a_program_cannot_choose_its_status_by_what_it_prints(text: str) -> None:
    result = ExecutionResult(ExecutionStatus.OK, text, text, 0)
    assert parse_response(200, response_body(result, {})).status is ExecutionStatus.OK


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedSandbox]:
    """A server whose counters are this module's alone."""
    with EmbeddedSandbox(workers=2) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("print(1)", ExecutionStatus.OK),
        ("1/0", ExecutionStatus.ERROR),
        ("while True: pass", ExecutionStatus.TIMEOUT),
        ("x = [bytearray(1 << 20) for _ in range(10**6)]", ExecutionStatus.MEMORY),
        ("import ctypes; ctypes.string_at(0)", ExecutionStatus.CRASHED),
        ("import os; os.kill(os.getpid(), 9)", ExecutionStatus.KILLED),
        ("while True: print('y' * 1_000_000)", ExecutionStatus.OUTPUT_LIMIT),
    ],
)
def test_ends_are_told_apart_over_http_and_counted(
    server: EmbeddedSandbox, code: str, status: ExecutionStatus
) -> None:
    def count() -> int:
        page = httpx.get(f"{server.url}/metrics", trust_env=False).text
        return int(re.findall(rf'requests_total{{status="{status.value}"}} (\d+)', page)[0])

    before = count()
    seconds = 1.0 if status is ExecutionStatus.TIMEOUT else 30.0
    client = SyncSandboxClient(server.url, timeout=seconds, memory_limit_mb=256, retries=0)
    assert client.run(code).status is status
    client.close()
    assert count() == before + 1
