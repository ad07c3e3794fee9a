"""Walls around a program, put up by the forked child itself before the program's first line."""

import base64
import json
import os
import resource
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from recipe.retool.sandbox.zygote import linux, tree
from recipe.retool.sandbox.zygote.messages import Job

NOBODY = 65534
_NAMESPACES = linux.CLONE_NEWNS | linux.CLONE_NEWIPC | linux.CLONE_NEWNET | linux.CLONE_NEWUTS
_INODES = 16384


@dataclass(frozen=True)
class Walls:
    """What is the same for every program of a fork server.

    Attributes:
        prefixes: Interpreter folders as given to :func:`tree.build`.
        bpf: Compiled seccomp filter; empty for none.
        proc: True when the host lets us mount a ``/proc``.
    """

    prefixes: list[str]
    bpf: bytes
    proc: bool


def enter(walls: Walls, job: Job, fds: list[int]) -> str:
    """Move into the box and return the program's source. Only fds 0, 1 and 2 are open afterwards."""
    channel = socket.socket(fileno=os.dup(fds[4]))
    try:
        payload = _read_all(fds[0])
        for number in (0, 1, 2):
            os.dup2(fds[number + 1], number)
        os.setsid()
        _new_file_system(walls, job.scratch_mb)
        source = _fill(payload)
        _hand_out(channel, job.hand_out)
        _become_nobody()
        _set_limits(job.rlimits)
        linux.drop_capabilities()
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        if walls.bpf:
            linux.install_filter(walls.bpf)
    except (OSError, ValueError) as error:
        channel.send(str(error).encode()[:4096] or b"error")
        os._exit(1)
    channel.detach()
    os.closerange(3, 1 << 20)
    return source


def _read_all(fd: int) -> dict[str, object]:
    with open(fd, "rb", closefd=False) as file:
        return dict(json.loads(file.read()))


def _new_file_system(walls: Walls, scratch_mb: int) -> None:
    linux.unshare(_NAMESPACES)
    options = f"size={scratch_mb}m,nr_inodes={_INODES},mode=0755"
    linux.mount("tmpfs", tree.SCRATCH, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)
    if walls.proc:
        flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
        linux.mount("proc", "/proc", "proc", flags)
    tree.link_prefixes(walls.prefixes)
    os.mkdir(f"{tree.SCRATCH}/shm")
    os.mkdir(tree.FOLDER, 0o700)
    os.mkdir(tree.WORK, 0o700)
    os.chdir(tree.WORK)


def _fill(payload: dict[str, object]) -> str:
    source = str(payload["code"])
    with open(tree.CODE, "wb") as file:  # tracebacks and inspect read it
        file.write(source.encode("utf-8", "replace"))
    files = payload["files"]
    for name, content in files.items() if isinstance(files, dict) else ():
        try:
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_bytes(base64.b64decode(content))
        except OSError as error:
            raise ValueError(f"files: cannot write {name!r}: {error.strerror}") from error
    return source


def _hand_out(channel: socket.socket, wanted: bool) -> None:
    """Let the server look into the working directory after the end: the descriptor keeps it alive."""
    if wanted:
        fd = os.open(tree.WORK, os.O_RDONLY | os.O_DIRECTORY)
        socket.send_fds(channel, [b"+"], [fd])


def _become_nobody() -> None:
    """An own user namespace: no power over the other namespaces, and processes are counted for it alone."""
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # or the files below would belong to root
    linux.unshare(linux.CLONE_NEWUSER)
    map_user(NOBODY, NOBODY)
    with suppress(OSError):  # there may be no /proc
        _write("/proc/self/oom_score_adj", "1000")  # when memory runs out, let it hit programs
        _write("/proc/sys/user/max_user_namespaces", "0")  # holds also where there is no seccomp


def map_user(uid: int, gid: int) -> None:
    """Be nobody in the user namespace just made; ``uid`` and ``gid`` are those outside."""
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{NOBODY} {uid} 1")
    _write("/proc/self/gid_map", f"{NOBODY} {gid} 1")


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _set_limits(values: tuple[int, ...]) -> None:
    """Lower the limits; the stack is never limited: it is also the threads' size."""
    kinds = (
        resource.RLIMIT_AS,
        resource.RLIMIT_CPU,
        resource.RLIMIT_FSIZE,
        resource.RLIMIT_NOFILE,
        resource.RLIMIT_NPROC,
        resource.RLIMIT_CORE,
    )
    for kind, value in zip(kinds, (*values, 0), strict=True):
        hard = resource.getrlimit(kind)[1]
        if value >= 0:
            limit = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (limit, limit))
