"""A few long-lived math-verify processes that can be killed, shared by all threads of a process.

Processes start when the first symbolic comparison needs them: importing this room starts nothing.
They are plain subprocesses, not multiprocessing children: fork is unsafe in a threaded Ray actor, and
spawn would run the actor's main module again.
"""

import atexit
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path

from recipe.retool.reward.worker import MAX_MESSAGE, READY

logger = logging.getLogger(__name__)

START_LIMIT = 120.0  # seconds for a process to import math-verify; not part of an answer's limit
WORKER_FILE = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Reply:
    """What a process said about one comparison.

    Attributes:
        status: ``ok``, ``timeout``, ``crashed`` (it died on this answer) or ``unavailable`` (none starts).
        equal: The verdict; False unless the status is ``ok``.
        gold_ok: False when the gold answer itself could not be parsed.
    """

    status: str
    equal: bool = False
    gold_ok: bool = True


class Worker:
    """One child process; used by one thread at a time.

    Raises:
        OSError: The process does not start, or is not ready within ``START_LIMIT`` seconds.
    """

    def __init__(self) -> None:
        self._connection, child_end = Pipe()
        with child_end:
            descriptor = child_end.fileno()
            self.process = subprocess.Popen(
                [sys.executable, str(WORKER_FILE), str(descriptor), str(os.getpid())],
                pass_fds=[descriptor],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in a terminal is for the trainer
            )
        self._wait_until_ready()

    def ask(self, gold: str, answer: str, limit: float) -> Reply:
        """Compare within ``limit`` seconds; any status but ``ok`` leaves a process to be killed."""
        request = {"gold": gold, "answer": answer, "limit": limit}
        try:
            self._connection.send_bytes(json.dumps(request).encode())
            if not self._connection.poll(limit):
                return Reply("timeout")
            reply = json.loads(self._connection.recv_bytes(MAX_MESSAGE))
            return Reply("ok", equal=reply["equal"] is True, gold_ok=reply["gold_ok"] is True)
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            return Reply("crashed")

    def alive(self) -> bool:
        """True while the process runs."""
        return self.process.poll() is None

    def kill(self) -> None:
        """End the process and reap it."""
        self.process.kill()
        self._connection.close()
        self.process.wait()

    def _wait_until_ready(self) -> None:
        try:
            ready = self._connection.poll(START_LIMIT) and self._connection.recv_bytes(MAX_MESSAGE) == READY
        except (OSError, EOFError):
            ready = False
        if not ready:
            self.kill()
            raise OSError(f"{WORKER_FILE} did not start; run it by hand to see why")


class WorkerPool:
    """At most ``size`` processes; thread-safe; never raises to its callers."""

    def __init__(self, size: int, start: Callable[[], Worker] = Worker) -> None:
        self._start = start
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()
        self._idle: list[Worker] = []
        self._workers: set[Worker] = set()
        self._owner = os.getpid()
        self._closed = False
        self._retry_at = 0.0

    def compare(self, gold: str, answer: str, limit: float) -> Reply:
        """Compare in a free process, waiting for one if need be; ``limit`` bounds the comparison only."""
        with self._slots:
            worker = self._take()
            if worker is None:
                return Reply("unavailable")
            reply = worker.ask(gold, answer, limit)
            self._give_back(worker, keep=reply.status == "ok")
            return reply

    def close(self) -> None:
        """Kill every process of this pool; later comparisons are ``unavailable``."""
        if os.getpid() != self._owner:
            return  # a forked copy of this object: the processes are not ours
        with self._lock:
            self._closed = True
            workers = list(self._workers)
            self._workers.clear()
            self._idle.clear()
        for worker in workers:
            worker.process.kill()  # a thread may still be reading from it: it sees the end of the pipe
            worker.process.wait()

    def pids(self) -> list[int]:
        """Process ids now held."""
        with self._lock:
            return [worker.process.pid for worker in self._workers]

    def _take(self) -> Worker | None:
        with self._lock:
            while self._idle:
                worker = self._idle.pop()  # the last one used is the warm one
                if worker.alive():
                    return worker
                self._workers.discard(worker)
            if self._closed or time.monotonic() < self._retry_at:
                return None
        return self._new()

    def _new(self) -> Worker | None:
        try:
            worker = self._start()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            # Without a pause every answer of a batch would wait for a start that fails again.
            self._retry_at = time.monotonic() + START_LIMIT
            logger.warning("math-verify process unavailable, symbolic answers score as wrong: %s", error)
            return None
        with self._lock:
            self._workers.add(worker)
            closed = self._closed
        if closed:  # close() ran during the start and did not see this one
            self._give_back(worker, keep=False)
            return None
        return worker

    def _give_back(self, worker: Worker, keep: bool) -> None:
        with self._lock:
            if keep and not self._closed:
                self._idle.append(worker)
                return
            self._workers.discard(worker)
        worker.kill()


_pools: dict[tuple[int, int], WorkerPool] = {}
_pools_lock = threading.Lock()


def shared_pool(size: int) -> WorkerPool:
    """Return this process's pool of ``size``, made at the first call and killed at exit."""
    key = (os.getpid(), size)  # after a fork the parent's processes belong to the parent
    with _pools_lock:
        if key not in _pools:
            _pools[key] = WorkerPool(size)
            atexit.register(_pools[key].close)
        return _pools[key]
