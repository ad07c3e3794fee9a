r"""Equality of answers, and the processes behind it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recipe.retool.reward import pool as pool_module
from recipe.retool.reward.equality import compare
from recipe.retool.reward.pool import WorkerPool, shared_pool

TOWER = "9^{9^{9^{9}}}"  # C code that no Python signal handler interrupts


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    pool = WorkerPool(1)
    pool.compare("1", r"\frac{2}{2}", 5.0)
    yield pool
    pool.close()


def is_running(pid: int) -> bool:
    """True for a process that exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Wait at most ``seconds`` for the end of a process."""
    end = time.monotonic() + seconds
    while is_running(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not is_running(pid)


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        (r"\frac{68}{2}", "34"), ("m+n=34", "34"), (r"34\text{ cm}", "34"), ("x=11", "11"),
        ("0.5", r"\frac12"),
        (r"\frac{\sqrt{8}}{4}", r"\frac{1}{\sqrt{2}}"), ("2, 1", "1, 2"), (r"\{1,2\}", "{2,1}"),
        (r"5 \geq x", r"x \leq 5"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
        ("(3,2)", "(p,q)=(3,2)"), ("x + 1", "x+1"), (r"28 percent", r"28\%"),
    ],
)  # fmt: skip
def test_equal(answer: str, gold: str) -> None:
    assert compare(answer, gold).equal


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("35", "34"), ("34.5", "34"), ("3 4", "34"), ("x", "34"), ("-34", "34"), (r"\pm 34", "34"),
        ("?", "34"),
        (r"34 \text{ or } 35", "34"), ("33, 34", "34"), (r"\{34,35\}", "34"), (r"[0,100]", "34"),
        (r"n \geq 34", "34"), ("x > -1", "x < 1"), (r"4\sqrt{2}", "4"), ("(2,1)", "(1,2)"), ("", "34"),
    ],
)  # fmt: skip
def test_not_equal(answer: str, gold: str) -> None:
    assert not compare(answer, gold).equal


@pytest.mark.parametrize(
    "joiner",
    [" \\text{ or } ", ",", ";", "=", " \\approx ", "|", "..", "/", " ", "\\quad ", " \\to ", "$ or $",
     "\\pm ", " \\lor x=", "\\\\", " \\Rightarrow ", "\\text{ and }", " \\equiv "],
)  # fmt: skip
def test_no_joiner_hedges_between_two_answers(joiner: str) -> None:
    assert [compare(f"34{joiner}35", gold).equal for gold in ("34", "35")].count(True) <= 1


def test_integers_need_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recipe.retool.reward.equality.shared_pool", None)
    assert compare("1,234", "1234.0").status == "integer"


def test_long_answer_is_refused_unread() -> None:
    assert compare("x+" * 600, "34").status == "too_long"


@pytest.mark.parametrize("gold", ["", "1" * 1001, r"\frac{"])
def test_unreadable_gold_is_reported(gold: str) -> None:
    assert not compare("x", gold).gold_ok


def test_hostile_answer_times_out_in_time(pool: WorkerPool) -> None:
    begin = time.monotonic()
    assert pool.compare("34", TOWER, 0.5).status == "timeout"
    assert time.monotonic() - begin < 1.5


def test_next_answer_after_a_timeout_is_compared(pool: WorkerPool) -> None:
    pool.compare("34", TOWER, 0.2)
    assert pool.compare("34", r"\frac{68}{2}", 5.0).equal


def test_time_limit_leaves_no_process(pool: WorkerPool) -> None:
    pool.compare("34", r"\frac{68}{2}", 5.0)
    (pid,) = pool.pids()
    pool.compare("34", TOWER, 0.2)
    assert wait_until_gone(pid, 1)


def test_killed_idle_process_is_replaced(pool: WorkerPool) -> None:
    pool.compare("34", r"\frac{68}{2}", 5.0)
    (pid,) = pool.pids()
    os.kill(pid, signal.SIGKILL)
    wait_until_gone(pid, 5)
    assert pool.compare("34", r"\frac{68}{2}", 5.0).equal


def test_process_that_dies_at_work_is_not_equal(pool: WorkerPool) -> None:
    pool.compare("34", r"\frac{68}{2}", 5.0)
    (pid,) = pool.pids()
    killer = threading.Timer(0.3, os.kill, (pid, signal.SIGKILL))
    killer.start()
    assert pool.compare("34", TOWER, 5.0).status == "crashed"


def test_many_threads_share_few_processes() -> None:
    shared = WorkerPool(2)
    with ThreadPoolExecutor(16) as threads:
        replies = list(
            threads.map(lambda n: shared.compare(str(n), rf"\frac{{{2 * n}}}{{2}}", 30.0), range(64))
        )
    pids = shared.pids()
    shared.close()
    assert all(reply.equal for reply in replies)
    assert len(pids) <= 2


def test_verdicts_do_not_mix_between_threads(pool: WorkerPool) -> None:
    with ThreadPoolExecutor(8) as threads:
        replies = threads.map(lambda n: pool.compare("2", rf"\frac{{{n}}}{{3}}", 30.0).equal, range(12))
    assert list(replies) == [n == 6 for n in range(12)]


def test_closed_pool_answers_unavailable() -> None:
    closed = WorkerPool(1)
    closed.close()
    assert closed.compare("34", "x", 1.0).status == "unavailable"


def test_close_ends_a_comparison_under_way() -> None:
    closing = WorkerPool(1)
    closing.compare("34", "x", 5.0)
    threading.Timer(0.3, closing.close).start()
    begin = time.monotonic()
    assert closing.compare("34", TOWER, 30.0).status == "crashed"
    assert time.monotonic() - begin < 5


def test_process_that_never_starts_is_tried_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pool_module, "WORKER_FILE", tmp_path / "absent.py")
    starts: list[int] = []

    def start() -> pool_module.Worker:
        starts.append(1)
        return pool_module.Worker()

    broken = WorkerPool(1, start)
    assert [broken.compare("34", "x", 1.0).status for _ in range(3)] == ["unavailable"] * 3
    assert len(starts) == 1


def test_one_pool_for_all_callers() -> None:
    assert shared_pool(2) is shared_pool(2)


PARENT = """
import sys, time
from recipe.retool.reward.pool import shared_pool
pool = shared_pool(1)
pool.compare("34", "x", 5.0)
print(pool.pids()[0], flush=True)
{then}
"""


@pytest.mark.parametrize(
    "then", ["time.sleep(60)", "pool.compare('34', '9^{9^{9^{9}}}', 1.0); time.sleep(60)"]
)
def test_no_orphan_when_the_parent_is_killed(then: str) -> None:
    code = PARENT.format(then=then)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.3)
        parent.kill()
    assert wait_until_gone(pid, 5)


def test_no_orphan_after_a_normal_exit() -> None:
    code = PARENT.format(then="")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert wait_until_gone(int(done.stdout), 5)


def test_room_imports_without_an_engine_and_starts_nothing() -> None:
    code = (
        "import sys, recipe.retool.reward.score as s; from recipe.retool.reward import pool;"
        "bad = {'torch', 'ray', 'verl', 'vllm', 'sympy', 'math_verify', 'numpy'} & set(sys.modules);"
        "sys.exit(f'{bad} {pool._pools}' if bad or pool._pools else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
