"""First code of every snippet's process: set the limits, drop privileges, then become the snippet.

The runner hands this file's text to ``python -c``, so it may use the standard library only, and as
little of it as possible (``import typing`` alone would double the time of a short program). Limits are
set here and not in a ``preexec_fn``: that would force a fork of the server where vfork will do.
"""

import sys
from types import TracebackType

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38
_SIGKILL = 9


def main(argv: list[str]) -> None:
    """Run the snippet. ``argv``: code file, server pid, uid, gid, five limits, then ``sys.path``."""
    # Nothing may be imported from the working directory before the limits hold.
    sys.path[:] = argv[9:]
    path, parent, uid, gid = argv[0], int(argv[1]), int(argv[2]), int(argv[3])
    with open(path, encoding="utf-8", newline="") as file:
        source = file.read()
    _set_limits([int(value) for value in argv[4:9]])
    _drop_privileges(uid, gid)
    _tie_to_server(parent)
    _run(path, source)


def _set_limits(values: list[int]) -> None:
    """Lower the limits; -1 leaves one alone. The stack is never limited: it is also the threads' size."""
    import resource

    kinds = (
        resource.RLIMIT_AS,
        resource.RLIMIT_CPU,
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_NOFILE,
        resource.RLIMIT_NPROC,
    )
    # Not 0: the kernel would still hand a core to a pipe, out to the host. At 1 it does not.
    for kind, value in [*zip(kinds, values, strict=True), (resource.RLIMIT_CORE, 1)]:
        hard = resource.getrlimit(kind)[1]
        if value >= 0:
            limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (limit, limit))


def _drop_privileges(uid: int, gid: int) -> None:
    """Become another user for good; -1 keeps the present one."""
    import os

    if uid >= 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def _tie_to_server(parent: int) -> None:
    """Die with the server, and let no set-uid program give rights back. Linux only; elsewhere nothing."""
    import os

    try:
        import _ctypes  # the ctypes package itself takes 3 ms to import

        program = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
        prctl = _ctypes.dlsym(program, "prctl")
        _ctypes.call_function(prctl, (_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
        _ctypes.call_function(prctl, (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    except (ImportError, OSError):
        return
    if os.getppid() != parent:  # the server died before the signal was asked for
        os._exit(1)


def _run(path: str, source: str) -> None:
    """Execute the source as ``__main__``, with the tracebacks and the exit codes of ``python file.py``."""
    import builtins
    import site

    site.setquit()  # python -S leaves exit() and quit() out
    sys.excepthook = _hide_own_frames
    sys.argv[:] = [path]
    sys.path.insert(0, "")
    # One write a line: what was printed before a time-out is then there to be read.
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    module = type(sys)("__main__")
    module.__dict__.update(__file__=path, __builtins__=builtins)
    sys.modules["__main__"] = module
    exec(compile(source, path, "exec"), module.__dict__)


def _hide_own_frames(kind: type[BaseException], value: BaseException, trace: TracebackType | None) -> None:
    own = _hide_own_frames.__code__.co_filename
    while trace is not None and trace.tb_frame.f_code.co_filename == own:
        trace = trace.tb_next
    sys.__excepthook__(kind, value.with_traceback(trace), trace)


if __name__ == "__main__":
    main(sys.argv[1:])
