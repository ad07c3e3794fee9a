r"""The child process that runs math-verify: ``python worker.py FD PARENT_PID``.

Symbolic comparison can run for hours or eat all memory, inside C code that no Python signal handler
reaches, so it runs here, where it can be killed. The parent (reward/pool.py) kills at its time limit;
this side makes sure that nothing is left behind when the parent itself was killed.
"""

import contextlib
import json
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

READY = b"ready"
MAX_MESSAGE = 1 << 20  # bytes
MEMORY_LIMIT = 4 << 30  # bytes of address space
PARENT_POLL = 5.0  # seconds between two looks at the parent
ALARM_SLACK = 2.0  # seconds after the parent's limit at which the kernel ends this process

_DELIMITERS = ("$", r"\(", r"\[", r"\boxed")

Checker = Callable[[str, str], dict[str, Any]]


def main(argv: list[str]) -> None:
    """Answer requests on the inherited socket until the parent closes it or dies."""
    descriptor, parent = int(argv[1]), int(argv[2])
    if sys.path and sys.path[0] == os.path.dirname(os.path.abspath(__file__)):
        sys.path.pop(0)  # a script's own folder: its modules must not be importable by bare names
    connection = Connection(descriptor)
    check = load_checker()
    limit_resources()
    with contextlib.suppress(OSError, EOFError):  # the parent is gone: nothing left to do
        connection.send_bytes(READY)
        serve(connection, parent, check)


def serve(connection: Connection, parent: int, check: Checker) -> None:
    """Loop over requests ``{"gold", "answer", "limit"}``; raises EOFError when the parent hangs up."""
    while True:
        # The end of the parent shows as EOF, unless one of its forked children still holds the socket.
        while not connection.poll(PARENT_POLL):
            if os.getppid() != parent:
                return
        request = json.loads(connection.recv_bytes(MAX_MESSAGE))
        # No handler: the default action ends the process even while C code holds the interpreter.
        signal.setitimer(signal.ITIMER_REAL, float(request["limit"]) + ALARM_SLACK)
        try:
            reply = check(request["gold"], request["answer"])
        except Exception as error:  # sympy raises anything on hostile input; it is "not equal"
            reply = {"equal": False, "gold_ok": True, "error": type(error).__name__}
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(json.dumps(reply).encode())


def load_checker() -> Checker:
    """Import math-verify (about a second) and return the comparison."""
    logging.disable(logging.CRITICAL)  # math-verify warns about every answer without a time limit
    from math_verify import parse, verify

    def read(text: str) -> list[Any]:
        # Its own time limits are signals; this process is limited from outside instead.
        return parse(in_math(text), parsing_timeout=None) or parse(text, parsing_timeout=None)

    def check(gold: str, answer: str) -> dict[str, Any]:
        target = read(gold)
        # math-verify gives back text that it could not parse as text.
        readable = any(not isinstance(part, str) for part in target)
        equal = readable and bool(verify(target, read(answer), timeout_seconds=None))
        return {"equal": equal, "gold_ok": readable, "error": ""}

    return check


def in_math(text: str) -> str:
    """Return ``text`` as LaTeX mathematics: math-verify reads LaTeX only between delimiters."""
    return text if any(mark in text for mark in _DELIMITERS) else f"${text}$"


def limit_resources() -> None:
    """Bound memory and core files; a system that refuses keeps its own limits."""
    for kind, limit in ((resource.RLIMIT_AS, MEMORY_LIMIT), (resource.RLIMIT_CORE, 1)):
        with contextlib.suppress(OSError, ValueError):
            hard = resource.getrlimit(kind)[1]
            bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
            resource.setrlimit(kind, (bound, hard))


if __name__ == "__main__":
    main(sys.argv)
