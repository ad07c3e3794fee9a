"""The benchmark of sandbox servers: it runs, and it sees answers that are lost or somebody else's."""

import asyncio
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from recipe.retool.sandbox.embedded import EmbeddedSandbox

_FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "sandbox.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("sandbox_benchmark", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_table_of_a_real_server(
    bench: ModuleType, sandbox: EmbeddedSandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert bench.main(["--quick", "--url", sandbox.url, "--programs", "print", "--clients", "1", "4"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [row[:3] for row in rows[1:5]] == [["print", clients, "8"] for clients in "1144"]
    assert [row[-2:] for row in rows[1:5]] == [["0", "0"]] * 4


def _figures(bench: ModuleType, answer: Callable[[str], tuple[str, str]]) -> tuple[int, int]:
    async def run(snippet: object, token: str) -> Any:
        return bench.Answer(*answer(token))

    cell = asyncio.run(bench.measure(run, bench.SNIPPETS[0], 2, 6))
    assert len(cell.seconds) == 6
    return cell.lost, cell.crossed


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda token: ("ok", f"{token}\n2\n"), (0, 0)),
        (lambda token: ("ok", "2\n"), (6, 0)),
        (lambda token: ("lost", ""), (6, 0)),
        (lambda token: ("timeout", token), (6, 0)),
        (lambda token: ("ok", "token-" + "f" * 32), (6, 6)),
        (lambda token: ("ok", f"{token} token-{'f' * 32}"), (0, 6)),
    ],
)
def test_wrong_answers_are_counted(
    bench: ModuleType, answer: Callable[[str], tuple[str, str]], expected: tuple[int, int]
) -> None:
    assert _figures(bench, answer) == expected


def test_a_server_that_is_not_there_loses_every_answer(bench: ModuleType) -> None:
    assert (
        bench.main(["--quick", "--url", "http://127.0.0.1:9", "--programs", "print", "--clients", "1"]) == 1
    )
