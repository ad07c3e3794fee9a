"""Being the program: runs a source as ``__main__`` and ends as ``python main.py`` would end.

A forked child cannot just let the interpreter finish: taking down the preloaded modules would take longer
than most programs. So this does by hand what of the finish a program can see.
"""

import atexit
import builtins
import gc
import io
import os
import signal
import sys
import threading
from types import ModuleType, TracebackType
from typing import Any, NoReturn

_LOST_OUTPUT = 120  # exit code of Python when it cannot flush stdout


def become(source: str, path: str, search: tuple[str, ...]) -> NoReturn:
    """Run the source; never returns."""
    _fresh_process(path, search)
    module = type(sys)("__main__")
    module.__dict__.update(__file__=path, __builtins__=builtins)
    sys.modules["__main__"] = module
    code, interrupted = _execute(source, path, module)
    _finish(module)
    if not _flush():
        code = code or _LOST_OUTPUT
    if interrupted:  # a shell tells Ctrl-C from an exit code by the signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code & 0xFF)


def _fresh_process(path: str, search: tuple[str, ...]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = _text(0, "r", "<stdin>", str(sys.stdin.errors))
    # One write a line: what was printed before a time-out is then there to be read.
    sys.stdout = _text(1, "w", "<stdout>", str(sys.stdout.errors))
    sys.stderr = _text(2, "w", "<stderr>", "backslashreplace")
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))
    sys.argv[:] = [path]
    sys.path[:] = ["", *search]
    sys.excepthook = _hide_own_frames
    random = sys.modules.get("numpy.random")
    if random is not None:  # or every program would draw the same numbers; the standard library does it alone
        random.seed()
    gc.enable()


def _text(fd: int, mode: str, name: str, errors: str) -> io.TextIOWrapper:
    raw = io.FileIO(fd, mode, closefd=False)
    raw.name = name
    buffer: Any = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    stream = io.TextIOWrapper(buffer, "utf-8", errors, None if mode == "r" else "\n", mode == "w")
    stream.mode = mode  # type: ignore[misc]
    return stream


def _execute(source: str, path: str, module: ModuleType) -> tuple[int, bool]:
    """Exit code, and True for an uncaught KeyboardInterrupt."""
    try:
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    except SystemExit as error:
        return _exit_code(error.code), False
    except BaseException as error:
        _report(error)
        return 1, isinstance(error, KeyboardInterrupt)
    return 0, False


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code if -(2**31) <= code < 2**31 else -1
    if sys.stderr is not None:
        try:
            sys.stderr.write(f"{code}\n")
        except Exception:
            return 1
    return 1


def _report(error: BaseException) -> None:
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except BaseException as second:
        if sys.stderr is not None:
            sys.stderr.write("Error in sys.excepthook:\n")
        sys.__excepthook__(type(second), second, second.__traceback__)
        _hide_own_frames(type(error), error, error.__traceback__)


def _hide_own_frames(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    own = _hide_own_frames.__code__.co_filename
    while trace is not None and trace.tb_frame.f_code.co_filename == own:
        trace = trace.tb_next
    sys.__excepthook__(kind, value.with_traceback(trace), trace)


def _finish(module: ModuleType) -> None:
    """Threads end, exit handlers run, global objects go: their files are flushed, their __del__ called."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException as error:
        _report(error)
    names = module.__dict__
    for private in (True, False):
        for name in list(names):
            if name != "__builtins__" and name.startswith("_") == private:
                names[name] = None
    gc.collect(1)  # a full collection would take as long as all the rest of a short program


def _flush() -> bool:
    """False when what was printed could not be written."""
    fine = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BaseException:
            fine = fine and stream is sys.stderr
    return fine
