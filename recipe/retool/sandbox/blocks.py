"""The program behind a session: runs blocks of code one after another, as one ``__main__``.

The server sends the *text* of this file to the sandbox as a program, so it may use the standard library only.
Blocks come over a socket, each as its number, its size and its source; an answer is the number and an exit
code. What a block prints goes to the standard streams as ever, flushed before the answer.

The blocks run in this very process and can do to it what they like: close or read the socket, answer in its
place, rebind what this file uses. So nothing here is to be trusted, and the server does not (``session.py``):
whatever comes over the socket decides about this session alone.
"""

import builtins
import os
import signal
import struct
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any, NoReturn

BLOCK = struct.Struct("<II")  # number, bytes of source
ANSWER = struct.Struct("<IB")  # number, exit code


def main(control: int) -> NoReturn:
    """Run blocks until the socket ``control`` has nothing more to read."""
    os.set_inheritable(control, False)
    module = type(sys)("__main__")
    module.__dict__.update(__builtins__=builtins, __annotations__={})
    sys.modules["__main__"] = module
    folder, process = os.path.dirname(sys.argv[0]), os.getpid()
    # Looked up once: a block may replace them.
    getpid, write, leave, pack = os.getpid, os.write, os._exit, ANSWER.pack
    while True:
        head = _take(control, BLOCK.size)
        number, size = BLOCK.unpack(head)
        source = _take(control, size).decode("utf-8", "replace")
        code = _run(source.removeprefix("\ufeff"), _file(folder, number, source), module)
        _flush()
        if getpid() != process:  # a child that the block forked, and that ran on to the block's end
            leave(code)
        signal.setitimer(signal.ITIMER_REAL, 0)  # an alarm was meant for its block
        write(control, pack(number, code))


def _take(control: int, size: int) -> bytes:
    """So many bytes; the end of them is the end of the session."""
    parts = bytearray()
    while len(parts) < size:
        part = os.read(control, min(size - len(parts), 1 << 20))
        if not part:
            os._exit(0)
        parts += part
    return bytes(parts)


def _file(folder: str, number: int, source: str) -> str:
    """Path of a block: each its own, for a traceback reads the lines of old functions too."""
    path = f"{folder}/tmp{number:08d}/main.py"
    try:
        os.mkdir(os.path.dirname(path), 0o700)
        with open(path, "w", encoding="utf-8", newline="") as file:
            file.write(source)
    except OSError:  # the disk is full, or the folder gone: tracebacks are then without lines
        pass
    return path


def _run(source: str, path: str, module: ModuleType) -> int:
    """Exit code of a block, as the program of its own that it could be would have it."""
    module.__dict__["__file__"] = path
    try:
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    except SystemExit as error:
        return _exit_code(error.code)
    except BaseException as error:
        trace = error.__traceback__
        _report(error.with_traceback(trace and trace.tb_next))  # without the frame of this function
        return 1
    return 0


def _exit_code(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    print(code, file=sys.stderr)  # noqa: T201
    return 1


def _report(error: BaseException) -> None:
    hook = sys.excepthook
    try:
        hook(type(error), error, error.__traceback__)
    except BaseException:
        sys.__excepthook__(type(error), error, error.__traceback__)


def _flush() -> None:
    """Write out what was printed, and give the next block the standard streams, whatever this one did."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        first: Any = getattr(sys, f"__{name}__")
        streams: tuple[Any, ...] = getattr(sys, name, None), first
        for stream in streams:
            with suppress(Exception):
                stream.flush()
        if first is None or first.closed:
            first = open(fd, "w", 1, "utf-8", "backslashreplace", "\n", closefd=False)  # noqa: SIM115
            setattr(sys, f"__{name}__", first)
        setattr(sys, name, first)
