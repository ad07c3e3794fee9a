"""The embedded server: it comes up, goes down, and takes everything with it."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.client import AsyncSandboxClient, SyncSandboxClient
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus

_DAEMON = """
import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for fd in (0, 1, 2): os.close(fd)
        os.execvp("sleep", ["sleep", "MARK"])
    os._exit(0)
os.wait()
print("parent done")
"""


def _running(mark: str) -> bool:
    """True when a process has this argument."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in entry.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue
    return False


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _eventually(check: Callable[[], bool], seconds: float = 10.0) -> bool:
    give_up = time.monotonic() + seconds
    while not check() and time.monotonic() < give_up:
        time.sleep(0.05)
    return check()


def test_it_starts_serves_and_stops() -> None:
    with EmbeddedSandbox(workers=1) as sandbox:
        url, pid = sandbox.url, sandbox.pid
        assert SyncSandboxClient(url).run("print(2)").stdout == "2\n"
    assert not _alive(pid)
    assert SyncSandboxClient(url, retries=0).run("1").status is ExecutionStatus.UNAVAILABLE


def test_start_and_stop_may_be_repeated() -> None:
    sandbox = EmbeddedSandbox(workers=1)
    for _ in range(2):
        sandbox.start().start()
        assert SyncSandboxClient(sandbox.url).run("print(2)").ok
        sandbox.stop()
        sandbox.stop()


def test_the_url_of_a_server_that_does_not_run_is_an_error() -> None:
    with pytest.raises(SandboxError, match="not started"):
        _ = EmbeddedSandbox().url


def test_a_port_in_use_is_named(sandbox: EmbeddedSandbox) -> None:
    port = int(sandbox.url.rpartition(":")[2])
    with pytest.raises(SandboxError, match=str(port)):
        EmbeddedSandbox(port=port).start()


def test_a_server_that_does_not_come_up_shows_its_log() -> None:
    with pytest.raises(SandboxError, match="not a working Python"):
        EmbeddedSandbox(python="/bin/false").start()


def test_the_log_goes_to_the_given_file(tmp_path: Path) -> None:
    with EmbeddedSandbox(workers=1, log_file=tmp_path / "logs" / "sandbox.log"):
        assert (tmp_path / "logs" / "sandbox.log").exists()


def test_a_server_killed_during_a_call_gives_an_answer_soon() -> None:
    async def call(sandbox: EmbeddedSandbox) -> ExecutionResult:
        async with AsyncSandboxClient(sandbox.url, timeout=60) as client:
            run = asyncio.ensure_future(client.run("import os; os.execvp('sleep', ['sleep', '61.004'])"))
            while not _running("61.004"):
                await asyncio.sleep(0.05)
            os.kill(sandbox.pid, signal.SIGKILL)
            return await asyncio.wait_for(run, 10)

    with EmbeddedSandbox(workers=1) as sandbox:
        assert asyncio.run(call(sandbox)).status is ExecutionStatus.UNAVAILABLE
    assert _eventually(lambda: not _running("61.004"))


def test_stopping_kills_what_runs() -> None:
    mark = "61.001"
    code = f"import subprocess; subprocess.run(['sleep', '{mark}'])"
    with EmbeddedSandbox(workers=1) as sandbox:
        client = SyncSandboxClient(sandbox.url, timeout=60, retries=0)
        thread = threading.Thread(target=client.run, args=(code,))
        thread.start()
        assert _eventually(lambda: _running(mark))
    thread.join(10)
    assert not _running(mark)


@pytest.mark.skipif(sys.platform != "linux", reason="orphans can be adopted on Linux only")
def test_a_daemon_does_not_outlive_its_run(sandbox: EmbeddedSandbox) -> None:
    result = SyncSandboxClient(sandbox.url).run(_DAEMON.replace("MARK", "61.002"))
    assert result.stdout == "parent done\n"
    assert not _running("61.002")


@pytest.mark.skipif(sys.platform != "linux", reason="orphans can be adopted on Linux only")
def test_killing_a_daemon_spares_the_other_runs(sandbox: EmbeddedSandbox) -> None:
    async def both() -> list[ExecutionResult]:
        async with AsyncSandboxClient(sandbox.url) as client:
            other = "import subprocess\nprint(subprocess.run(['sleep', '1.5']).returncode)"
            return await asyncio.gather(client.run(other), client.run(_DAEMON.replace("MARK", "61.003")))

    assert [result.stdout for result in asyncio.run(both())] == ["0\n", "parent done\n"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_death_of_the_parent_takes_all_down(number: signal.Signals, tmp_path: Path) -> None:
    mark = f"61.1{int(number)}"
    program = (
        "import threading, time\n"
        "from recipe.retool.sandbox.embedded import EmbeddedSandbox\n"
        "from recipe.retool.sandbox.client import SyncSandboxClient\n"
        "sandbox = EmbeddedSandbox(workers=1).start()\n"
        f"code = \"import subprocess; subprocess.run(['sleep', '{mark}'])\"\n"
        "threading.Thread(target=SyncSandboxClient(sandbox.url, timeout=60).run, args=(code,)).start()\n"
        "print(sandbox.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    env = {**os.environ, "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=env)
    assert parent.stdout is not None
    server = int(parent.stdout.readline())
    assert _eventually(lambda: _running(mark))
    parent.send_signal(number)
    parent.wait()
    assert _eventually(lambda: not _alive(server) and not _running(mark))
    assert list(tmp_path.iterdir()) == []


def test_a_forked_child_does_not_stop_its_parents_server() -> None:
    with EmbeddedSandbox(workers=1) as sandbox:
        pid = os.fork()
        if pid == 0:
            sandbox.stop()
            os._exit(0)
        os.waitpid(pid, 0)
        assert SyncSandboxClient(sandbox.url, retries=0).run("print(1)").ok


def test_nothing_is_left_in_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with EmbeddedSandbox(workers=1) as sandbox:
        SyncSandboxClient(sandbox.url).run("open('x', 'w').write('y')")
        assert list(tmp_path.iterdir())
    assert list(tmp_path.iterdir()) == []


def test_the_server_does_not_have_our_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hunter2")
    with EmbeddedSandbox(workers=1) as sandbox:
        assert b"hunter2" not in Path(f"/proc/{sandbox.pid}/environ").read_bytes()


def test_a_storm_of_failing_programs_with_input(sandbox: EmbeddedSandbox) -> None:
    async def storm() -> list[ExecutionResult]:
        async with AsyncSandboxClient(sandbox.url, deadline=120) as client:
            return await asyncio.gather(*(client.run("input(); 1/0", stdin="x\n" * 1000) for _ in range(24)))

    results = asyncio.run(storm())
    assert all(re.search("ZeroDivisionError", result.stderr) for result in results)
