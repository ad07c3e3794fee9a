"""Walls around a program without namespaces, put up by the forked child itself before its first line.

For servers in a container that may neither make namespaces nor mount: a user of its own for each program,
landlock, and a filter that refuses every socket. Written like :mod:`box`, for few memory pages.
"""

import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from ctypes import c_int, c_uint, c_ulong
from dataclasses import dataclass
from os import chdir, chown, close, dup2, mkdir, nice, open, setpgid, write
from typing import Any

from recipe.retool.sandbox.zygote import landlock, linux, tree
from recipe.retool.sandbox.zygote.box import NEW_FILE, NICE, limiter, locker
from recipe.retool.sandbox.zygote.linux import failure
from recipe.retool.sandbox.zygote.loop import Task
from recipe.retool.sandbox.zygote.messages import (
    BROKEN,
    CONTROL_FD,
    HAND_OUT,
    HAS_CONTROL,
    HAS_FILES,
    HAS_STDIN,
    code_of,
    text_packet,
)
from recipe.retool.sandbox.zygote.payload import fill, hand_out


@dataclass(frozen=True)
class Cell:
    """What is the same for every program of a fork server.

    Attributes:
        prefixes: Interpreter folders that programs may read beside the system's.
        bpf: Compiled seccomp filter.
        proc_fd: Descriptor of ``/proc``.
        folder: Folder in which each program gets one of its own.
    """

    prefixes: list[str]
    bpf: bytes
    proc_fd: int
    folder: str


def run_folder(folder: str, number: int) -> str:
    """Folder of a run; texts to the model drop names of this form."""
    return f"{folder}/tmp{number % 10**8:08d}"


def builder(cell: Cell, sock: socket.socket) -> Callable[[Task], tuple[str, str]]:
    """The function with which a child moves into its cell; it gives the program's source and file name.

    Afterwards no descriptor but 0, 1 and 2 is open, and CONTROL_FD for who is to have it. When a wall does
    not stand, the server is told over its socket and the child ends.
    """
    become = _user(cell.proc_fd)
    put_limits, locks = limiter(cell.proc_fd), locker(cell.bpf)
    cage = landlock.cages([*tree.SYSTEM, *tree.ETC, *cell.prefixes], tree.DEVICES)
    close_range = linux.raw("close_range", c_uint, c_uint, c_int)
    parent, set_home = cell.folder, _home()

    def enter(task: Task) -> tuple[str, str]:
        job, fds, uid = task.job, task.fds, task.own
        folder = run_folder(parent, job.number)
        try:
            dup2(fds[0], 1)
            dup2(fds[1], 2)
            if job.flags & HAS_STDIN:
                dup2(fds[-1], 0)
            setpgid(0, 0)
            mkdir(folder, 0o700)
            chown(folder, uid, uid)
            become(uid)
            chdir(folder)
            mkdir("work", 0o700)
            chdir("work")
            set_home(f"{folder}/work")
            code = code_of(task.packet) if not job.flags & HAS_FILES else fill(fds[2])
            fd = open("../main.py", NEW_FILE, 0o600)  # tracebacks and inspect read it
            write(fd, code)
            close(fd)
            if job.flags & HAND_OUT:
                hand_out(sock, job.number)
            put_limits(job.rlimits, job.memory_mb)
            nice(NICE)  # last: others must not wait for walls behind programs that spin
            locks(cage(folder))
        except (OSError, ValueError) as error:
            sock.send(text_packet(BROKEN, job.number, str(error)))
            os._exit(1)
        kept = 3
        if job.flags & HAS_CONTROL:  # not before: 3 may be one that was needed up to here
            dup2(fds[-1], CONTROL_FD)
            kept = CONTROL_FD + 1
        close_range(kept, 0xFFFFFFFF, 0)
        return code.decode("utf-8", "replace"), f"{folder}/main.py"

    return enter


def _home() -> Callable[[str], None]:
    """A function that sets HOME and TMPDIR, past the checks of ``os.environ``: they touch many pages."""
    names: Any = os.environ._data  # type: ignore[attr-defined]
    putenv = os.putenv

    def set_both(path: str) -> None:
        names[b"HOME"] = names[b"TMPDIR"] = path.encode()
        putenv("HOME", path)
        putenv("TMPDIR", path)

    return set_both


def _user(proc_fd: int) -> Callable[[int], None]:
    """A function that becomes a user, and nobody else ever again."""
    setresgid = linux.raw("setresgid", *[c_uint] * 3)
    setresuid = linux.raw("setresuid", *[c_uint] * 3)
    prctl = linux.raw("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)

    def become(uid: int) -> None:
        with suppress(OSError):  # when memory runs out, let it hit programs
            fd = open("self/oom_score_adj", os.O_WRONLY, dir_fd=proc_fd)
            write(fd, b"1000")
            close(fd)
        if setresgid(uid, uid, uid):
            raise failure("setresgid")
        if setresuid(uid, uid, uid):
            raise failure("setresuid")
        # After the change of user, which takes it back. Descendants are for the keeper to find.
        if prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
            raise failure("pdeathsig")

    return become
