"""The text of a tool result: the only place where it is made.

Supervised data, training and evaluation must show a model byte for byte the same thing: one newline
more at the end in one of the three took a small model's accuracy from 47 percent to 0. So live results
(:func:`result_text`) and outputs recorded in data (:func:`recorded_result_text`) end in one helper,
which strips surrounding newlines, defuses markup (``env/guard.py``), fills in for silence and keeps to a
length.
"""

import re
import signal

from recipe.retool.env.guard import defuse
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import encodable

DEFAULT_LIMIT = 4096
NO_OUTPUT = "(no output; use print() to see a value)"
_UNAVAILABLE = "[the code interpreter is not available at the moment; this is not an error in the code]"
_RESTARTED = "[the interpreter was restarted; variables are lost]"

# Random names of a run's folder and file, ours and SandboxFusion's, and where Python lives on this host.
# The look-behind keeps the search linear in outputs full of slashes.
_RUN_FOLDER = re.compile(r"(?<![\w.+-])(?:/[\w.+-]+)*/tmp[a-z0-9_]{8}/")
_RUN_FILE = re.compile(r"\btmp[a-z0-9_]{8}\.py\b")
_ERROR_LINE = re.compile(r"^(?:\w+\.)*(?P<name>[A-Za-z_]\w*)(?::|$)", re.MULTILINE)
_LIBRARY = re.compile(r'(?<=File ")[^"\n]*/(?:site-packages|dist-packages|lib/python3\.\d+)/(?=[^"\n]*")')


def result_text(result: ExecutionResult, limit: int = DEFAULT_LIMIT, restarted: bool = False) -> str:
    """What the model sees of an execution.

    Args:
        result: Outcome of the run.
        limit: Most characters of the text. A longer stdout keeps its two ends, a longer stderr (the
            traceback) its end; a mark says how many characters are missing.
        restarted: Say that the variables of a session are lost.

    Returns:
        Non-empty text without surrounding newlines, at most ``limit`` characters.
    """
    if result.status is ExecutionStatus.UNAVAILABLE:
        return _fit_tail(_UNAVAILABLE, limit)
    if restarted:
        text = result_text(result, max(limit - len(_RESTARTED) - 1, 1))
        return _fit_tail(f"{text}\n{_RESTARTED}", limit)
    return _compose(_tidy(result.stdout), _tidy(result.stderr), _note(result), limit)


def is_empty(result: ExecutionResult) -> bool:
    """The program printed nothing and ended without an error."""
    return result.ok and not result.stdout.strip() and not result.stderr.strip()


def error_name(stderr: str) -> str:
    """Name of the exception that ended a program, without its module; empty where no traceback tells.

    It stands in the first line after the traceback's last frame that is not indented: the lines of a long
    message come after it.
    """
    frame = stderr.rfind('\n  File "') + 1 if not stderr.startswith('  File "') else 0
    if not stderr.startswith('  File "', frame):
        return ""
    match = _ERROR_LINE.search(stderr, frame)
    return match["name"] if match else ""


def recorded_result_text(recorded: str, limit: int = DEFAULT_LIMIT) -> str:
    """The same text for an output that was recorded in training data."""
    return _compose(_tidy(recorded), "", "", limit)


def _compose(stdout: str, stderr: str, note: str, limit: int) -> str:
    """Join the parts, each defused and stripped, within the limit; the note always survives whole."""
    out, err = defuse(stdout).strip("\n"), defuse(stderr).strip("\n")
    out, err = out if out.strip() else "", err if err.strip() else ""
    if not (out or err or note):
        return _fit_tail(NO_OUTPUT, limit)
    parts = sum(1 for part in (out, err, note) if part)
    room = max(limit - len(note) - (parts - 1), 0)
    if len(out) + len(err) > room:
        err = _fit_tail(err, max(room - len(out), room // 2) if out else room)
        out = _fit_ends(out, room - len(err))
    return _fit_tail("\n".join(part for part in (out, err, note) if part), limit)


def _note(result: ExecutionResult) -> str:
    """A line on how the program ended, where its output does not say it. Nothing that varies by run."""
    if result.status is ExecutionStatus.TIMEOUT:
        return "[stopped: the time limit was reached]"
    if result.status is ExecutionStatus.MEMORY:
        return "[stopped: the memory limit was reached]"
    if result.status in (ExecutionStatus.KILLED, ExecutionStatus.CRASHED):
        return f"[stopped: killed by {_signal_name(result.return_code)}]"
    if result.status is ExecutionStatus.ERROR and not result.stderr.strip():
        return f"[exit code {result.return_code}]"
    return ""


def _signal_name(return_code: int | None) -> str:
    try:
        return signal.Signals(-(return_code or 0)).name
    except ValueError:
        return "a signal"


def _tidy(text: str) -> str:
    """Valid text, one kind of newline, and file names that do not depend on the run or the machine."""
    text = encodable(text).replace("\r\n", "\n")
    text = _RUN_FILE.sub("main.py", _RUN_FOLDER.sub("", text))
    return _LIBRARY.sub("", text)


def _mark(left_out: int) -> str:
    return f"[... {left_out} characters left out ...]"


def _fit_tail(text: str, limit: int) -> str:
    """The end of a text, behind a mark."""
    if len(text) <= limit:
        return text
    kept = limit - len(_mark(len(text))) - 1
    if kept <= 0:
        return text[len(text) - max(limit, 0) :]
    return f"{_mark(len(text) - kept)}\n{text[-kept:]}"


def _fit_ends(text: str, limit: int) -> str:
    """Both ends of a text, with a mark between them."""
    if len(text) <= limit:
        return text
    kept = limit - len(_mark(len(text))) - 2
    if kept <= 1:
        return text[: max(limit, 0)]
    head, tail = kept - kept // 2, kept // 2
    return f"{text[:head]}\n{_mark(len(text) - kept)}\n{text[-tail:]}"
