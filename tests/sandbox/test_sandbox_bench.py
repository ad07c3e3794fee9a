"""``retool sandbox bench``, its arithmetic, and the soak with a kill."""

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.sandbox.bench.raw import RawAnswer, RawClient
from recipe.retool.sandbox.bench.sizing import Step
from recipe.retool.sandbox.bench.tree import tree_figures
from recipe.retool.sandbox.cli import main
from recipe.retool.sandbox.embedded import EmbeddedSandbox

_FILE = Path(__file__).resolve().parents[2] / "benchmarks" / "sandbox_soak.py"


def test_the_table_and_the_arithmetic(sandbox: EmbeddedSandbox, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--clients", "1", "4", "--seconds", "0.1", "--cores", "2", "--step-seconds", "100"]
    assert main(["bench", sandbox.url, *options]) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()[2:8]]
    names = [name for name in ("print", "numpy", "sympy") for _ in "14"]
    assert [(row[0], row[1]) for row in rows] == list(zip(names, "141414", strict=True))
    assert all(float(row[2]) > 0 and 0 < float(row[3]) <= float(row[4]) for row in rows)
    assert "32 prompts x 16 samples x 16 turns = 8192 calls a step, of 100 s" in out


def test_the_arithmetic_by_hand() -> None:
    step = Step(batch=32, samples=16, turns=16, seconds=300)
    assert step.calls == 8192
    assert step.share(8192 / 30) == pytest.approx(0.1)
    assert step.cores(8192 / 30, 2, 0.05) == 4
    assert step.cores(1e9, 2, 0.05) == 1


@given(st.floats(1, 1e5), st.integers(1, 512), st.floats(0.001, 1))
def test_so_many_cores_do_keep_below_the_share(rate: float, cores: int, share: float) -> None:
    needed = Step().cores(rate, cores, share)
    assert Step().share(rate * needed / cores) <= share * 1.000001


@pytest.mark.parametrize(
    "options",
    [[], ["http://127.0.0.1:9", "--embedded"], ["http://127.0.0.1:9"], ["http://x", "--batch", "0"]],
)
def test_what_cannot_be_measured_is_an_error(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *options]) == 2
    assert "error" in capsys.readouterr().err


def test_the_raw_client_gives_headers_and_gives_up(sandbox: EmbeddedSandbox) -> None:
    async def scene() -> RawAnswer:
        client = RawClient(sandbox.url)
        with pytest.raises(asyncio.TimeoutError):
            await client.run("import time; time.sleep(20)", patience=0.3)
        try:
            return await client.run("print(1)")
        finally:
            client.close()

    answer = asyncio.run(scene())
    assert answer.run is not None
    assert (answer.run["stdout"], len(answer.headers["x-request-id"])) == ("1\n", 32)


def test_figures_of_a_tree(sandbox: EmbeddedSandbox) -> None:
    figures = tree_figures(sandbox.pid)
    assert figures.processes >= 1
    assert 10 < figures.pss_mib <= figures.rss_mib
    assert min(figures.threads, figures.descriptors) >= figures.processes
    assert tree_figures(2**22 + 1).processes == 0


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("sandbox_soak", _FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_soak_through_the_death_of_the_server(soak: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--clients", "8", "--requests", "80", "--kill", "server", "--every", "0.2"]
    assert soak.main([*options, "--kills", "1", "--patience", "30"]) == 0
    out = capsys.readouterr().out
    assert "good 80, lost 0, crossed 0, hung 0" in out
    assert "good answers again after" in out
    assert "1 times kill -9" in out


@pytest.mark.parametrize(
    ("stdout", "status", "code", "counted"),
    [
        ("token-" + "a" * 32, "Finished", 0, "good"),
        ("token-" + "b" * 32, "Finished", 0, "crossed"),
        ("", "Finished", 0, "lost"),
        ("token-" + "a" * 32, "Finished", 1, "lost"),
        ("token-" + "a" * 32, "TimeLimitExceeded", None, "lost"),
    ],
)
def test_wrong_answers_are_seen(
    soak: ModuleType, stdout: str, status: str, code: int | None, counted: str
) -> None:
    tally = soak.Tally()
    run = {"stdout": stdout, "status": status, "return_code": code}
    soak.judge(RawAnswer(200, {"run_result": run}), "token-" + "a" * 32, ("Finished", 0), tally, 0.0)
    assert dict(tally.counts) == {counted: 1}
