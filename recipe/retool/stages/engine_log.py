"""The one error that matters in thousands of lines of engine output."""

import re
from pathlib import Path

_TAIL_BYTES = 400_000
_MAX_LINES = 12
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_PREFIX = re.compile(r"^\([\w:. ]+ pid=\d+(?:, ip=[\d.]+)?\) ?")  # Ray's "(Actor pid=1) "
# The last line of a traceback: a dotted exception name, then its message.
_EXCEPTION = re.compile(
    r"^(?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt|NotFound|OutOfMemory)\w*(?:\(\w+\))?:? .+"
)
# What fails as a consequence of something else, and never is the reason.
_CONSEQUENCES = (
    "ChildFailedError",
    "RayTaskError",
    "ActorDiedError",
    "RayActorError",
    "ActorUnavailableError",
    "EngineDeadError",
    "BrokenPipeError",
    "CancelledError",
    "Error executing job with overrides",
    "Engine core initialization failed",
)


def last_error(log: Path) -> str:
    """The last meaningful error of an engine's log, a few lines long.

    A typed error of this recipe wins; then the last exception that is not the mere consequence of
    another one, with the lines of its message; then the last lines of the log.
    """
    lines = _tail(log)
    hits = [number for number, line in enumerate(lines) if _EXCEPTION.match(line)]
    causes = [number for number in hits if not any(word in lines[number] for word in _CONSEQUENCES)]
    ours = [number for number in causes if "recipe.retool.errors." in lines[number]]
    chosen = (ours or causes or hits)[-1:]
    if not chosen:
        return "\n".join(lines[-_MAX_LINES:]) or "(the log is empty)"
    start = chosen[0]
    end = start + 1
    while (
        end < len(lines) and end - start < _MAX_LINES and lines[end].strip() and not _ends_message(lines[end])
    ):
        end += 1
    return "\n".join(lines[_frame_before(lines, start) : end])


def _tail(log: Path) -> list[str]:
    try:
        with log.open("rb") as stream:
            stream.seek(0, 2)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            text = stream.read().decode(errors="replace")
    except OSError as error:
        return [f"(the log {log} cannot be read: {error.strerror})"]
    return [_PREFIX.sub("", _COLOUR.sub("", line)).rstrip() for line in text.splitlines()]


def _ends_message(line: str) -> bool:
    return line.startswith(
        ("Traceback", "Set the environment variable", "During handling", "The above exception")
    )


def _frame_before(lines: list[str], start: int) -> int:
    """Where the innermost frame ("File ..., line ...") above an exception begins."""
    for number in range(start - 1, max(-1, start - 5), -1):
        if lines[number].lstrip().startswith('File "'):
            return number
    return start
