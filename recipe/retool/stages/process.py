"""One engine (verl, torchrun, the merger) as a child process that leaves nothing behind.

verl starts Ray, Ray starts daemons and actors, vLLM starts its own processes: a few dozen, some in
sessions of their own. This process therefore becomes the "subreaper" of its descendants
(``man 2 prctl``): whatever loses its parent is handed to us instead of to init, so at the end, after
Ctrl-C or a crash, everything that was started can be found and ended.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import psutil

from recipe.retool.errors import StageError
from recipe.retool.stages.engine_log import last_error

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 10.0
_POLL_SECONDS = 0.5

Watch = Callable[[], None]


def run_engine(
    name: str, command: Sequence[str], env: Mapping[str, str], log: Path, watch: Watch | None = None
) -> None:
    """Run an engine to its end, its whole output in ``log``.

    Args:
        name: What to call it in messages.
        command: Program and arguments.
        env: The whole environment.
        log: File for stdout and stderr; a previous one is kept as ``<log>.1``.
        watch: Called twice a second while the engine runs, and once after it.

    Raises:
        StageError: It could not be started or failed; the message holds the engine's last error.
        KeyboardInterrupt: Passed on after everything was ended.
    """
    with started(name, command, env, log) as engine:
        _wait(engine, watch)
    if engine.returncode != 0:
        raise StageError(f"{name} failed (exit code {engine.returncode}); full log: {log}\n{last_error(log)}")


@contextlib.contextmanager
def started(
    name: str, command: Sequence[str], env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """An engine for the time of a block; nothing of it, nor of what it started, is left afterwards.

    Args:
        name: As of ``run_engine``, and so are the others.
        command: Program and arguments.
        env: The whole environment.
        log: File for stdout and stderr.

    Raises:
        StageError: It could not be started.
    """
    _become_subreaper()
    before = _descendants()
    with _open_log(log) as output:
        try:
            engine = subprocess.Popen(
                list(command),
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C reaches us alone, and we end the rest in order
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            raise StageError(f"{name}: cannot start {command[0]}: {error}") from error
        try:
            yield engine
        finally:
            with _undisturbed():
                _end_all(engine, before)


def _wait(engine: subprocess.Popen[bytes], watch: Watch | None) -> None:
    while engine.poll() is None:
        time.sleep(_POLL_SECONDS)
        if watch:
            watch()
    if watch:
        watch()


def _open_log(log: Path) -> BinaryIO:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists():
            os.replace(log, log.with_name(log.name + ".1"))
        return log.open("wb")
    except OSError as error:
        raise StageError(f"cannot write the log {log}: {error.strerror}") from error


def _become_subreaper() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _die_with_parent() -> None:
    """In the child: get SIGTERM when this process dies; Ray's driver then shuts its cluster down."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not stop the clean-up half-way (signal handlers belong to the main thread)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _descendants() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def _end_all(engine: subprocess.Popen[bytes], before: set[psutil.Process]) -> None:
    """End the engine and everything that came to life since ``before``."""
    if engine.poll() is None:
        engine.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            engine.wait(_GRACE_SECONDS)
    # Actors are ended by their raylet within a moment; what is left after that is killed. Repeated,
    # because a process may start another one between the look and the kill.
    for grace in (1.0, 0.0, 0.0):
        left = list(_descendants() - before)
        if not left:
            break
        for process in psutil.wait_procs(left, timeout=grace)[1]:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(left, timeout=2.0)
    engine.wait()
