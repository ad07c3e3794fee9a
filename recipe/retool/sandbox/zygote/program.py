"""Being the program: runs a source as ``__main__`` and ends as ``python main.py`` would end.

A forked child cannot just let the interpreter finish: taking down the preloaded modules would take longer
than most programs. So this does by hand what of the finish a program can see.
"""

import _random
import _signal  # type: ignore[import-not-found]
import atexit
import builtins
import gc
import io
import os
import signal
import sys
import threading
from _signal import default_int_handler
from collections.abc import Callable
from functools import partial
from types import ModuleType, TracebackType
from typing import Any, NoReturn

_LOST_OUTPUT = 120  # exit code of Python when it cannot flush stdout


def prepare(path: str, search: tuple[str, ...]) -> Callable[..., NoReturn]:
    """Make all that programs of a fork server have in common, in the fork server itself.

    Args:
        path: File name of the program.
        search: ``sys.path`` of the programs.

    Returns:
        A function of the source, of whether there is text on standard input, and of another file name where
        each program has its own; it never returns.
    """
    streams, errors = _streams(), str(sys.stdin.errors)
    sys.argv[:] = [path]
    sys.path[:] = ["", *search]
    sys.excepthook = _hide_own_frames
    module = type(sys)("__main__")
    module.__dict__.update(__file__=path, __builtins__=builtins, __annotations__={})
    seeds = _seeds()
    thread = threading.main_thread()
    sys.modules["__main__"] = module

    def become(source: str, has_stdin: bool, name: str = path) -> NoReturn:
        if name is not path:
            sys.argv[0] = module.__dict__["__file__"] = name
        _signal.signal(signal.SIGINT, default_int_handler)
        _signal.pthread_sigmask(signal.SIG_SETMASK, ())
        stdin = _text(0, "r", "<stdin>", errors) if has_stdin else streams[0]
        sys.stdin = sys.__stdin__ = stdin  # type: ignore[misc]
        sys.stdout = sys.__stdout__ = streams[1]  # type: ignore[misc]
        sys.stderr = sys.__stderr__ = streams[2]  # type: ignore[misc]
        thread._set_native_id()  # type: ignore[attr-defined]
        for seed in seeds:
            seed()
        gc.enable()
        code, interrupted = _execute(source.removeprefix("\ufeff"), name, module)
        sys.settrace(None)
        sys.setprofile(None)
        _finish(module)
        if not _flush():
            code = code or _LOST_OUTPUT
        if interrupted:  # a shell tells Ctrl-C from an exit code by the signal
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        os._exit(code & 0xFF)

    return become


def _seeds() -> list[Callable[[], object]]:
    """What gives a program random numbers of its own, for all that was loaded before it was there."""
    found: list[Callable[[], object]] = []
    for name, generator in (("random", "_inst"), ("sympy.core.random", "rng")):
        if (
            name in sys.modules
        ):  # the C function: the method of the class around it touches ten times the pages
            found.append(partial(_random.Random.seed, getattr(sys.modules[name], generator)))
    if "numpy.random" in sys.modules:
        found.append(sys.modules["numpy.random"].seed)
    return found


def _streams() -> list[io.TextIOWrapper]:
    """Standard streams, made while 1 and 2 are pipes: a stream asks its file what it is only once."""
    kept = os.dup(1), os.dup(2)
    ends = os.pipe()
    for number in (1, 2):
        os.dup2(ends[1], number)
    try:
        return [
            _text(0, "r", "<stdin>", str(sys.stdin.errors)),
            # One write a line: what was printed before a time-out is then there to be read.
            _text(1, "w", "<stdout>", str(sys.stdout.errors)),
            _text(2, "w", "<stderr>", "backslashreplace"),
        ]
    finally:
        for number, fd in enumerate(kept, 1):
            os.dup2(fd, number)
        for fd in (*kept, *ends):
            os.close(fd)


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
        if len(threading._active) > 1 or threading._threading_atexits:  # type: ignore[attr-defined]
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
