"""The outer process of a fork server without namespaces: removes the folders of programs that have ended.

It lives as long as the fork server and a little longer: what is then left of its programs is killed here.
"""

import itertools
import os
import signal
import stat
from collections.abc import Sequence
from contextlib import suppress

from recipe.retool.sandbox.zygote.cell import run_folder
from recipe.retool.sandbox.zygote.container_loop import NUMBER
from recipe.retool.sandbox.zygote.sweep import sweep

_MOST = 4096  # bytes in one reading; a multiple of what one number takes
START_SECONDS, END_SECONDS = 0.3, 1.5  # for killing what an earlier server, or we, have left
_names = itertools.count()


class _Stopped(Exception):
    """The fork server is to end, now."""


def keep(inner: int, ears: int, folder: str, uids: Sequence[int]) -> int:
    """Serve the fork server until it ends; SIGTERM ends it.

    Args:
        inner: The fork server's process.
        ears: Descriptor from which the numbers of runs are read whose folders may go.
        folder: Folder of those folders.
        uids: Users of the programs, the first for killing.
    """
    try:
        signal.signal(signal.SIGTERM, _stop)
        while packet := os.read(ears, _MOST):
            for (number,) in NUMBER.iter_unpack(packet):
                run = run_folder(folder, number)
                if not _remove_usual(run):
                    remove(run, folder)
    except _Stopped:
        pass
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(ProcessLookupError):
        os.kill(inner, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitpid(inner, 0)
    sweep(uids[1:], uids[0], END_SECONDS)
    remove(folder, os.path.dirname(folder))
    return 0


def _stop(*_: object) -> None:
    raise _Stopped


def _remove_usual(folder: str) -> bool:
    """Remove what most programs leave: their source and an empty directory. False if there is more."""
    try:
        os.unlink(f"{folder}/main.py")
        os.rmdir(f"{folder}/work")
        os.rmdir(folder)
    except OSError:
        return False
    return True


def remove(folder: str, above: str) -> None:
    """Remove a folder and all in it, whatever the program made of it; no process may be at work in it.

    Folders in it are first moved up beside it: so no path grows long, and no depth is too deep. Links are not
    followed.

    Args:
        folder: The folder.
        above: Folder that belongs to us alone, on the same file system.
    """
    todo = [folder]
    while todo:
        one = todo.pop()
        with suppress(OSError):
            os.chmod(one, stat.S_IRWXU)
            with os.scandir(one) as entries:
                for entry in entries:
                    _take_out(entry, above, todo)
        with suppress(OSError):
            os.rmdir(one)


def _take_out(entry: "os.DirEntry[str]", above: str, todo: list[str]) -> None:
    with suppress(OSError):
        if not entry.is_dir(follow_symlinks=False):
            os.unlink(entry.path)
            return
        place = f"{above}/x{os.getpid()}.{next(_names)}"
        os.rename(entry.path, place)
        todo.append(place)
