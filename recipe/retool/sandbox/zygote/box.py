"""Walls around a program, put up by the forked child itself before the program's first line.

The child's way from here to the program is written for few memory pages, not only for few instructions: every
page that it touches is shared with the fork server and has to be copied. So all calls are looked up, and all
arguments made, before the fork.
"""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from ctypes import addressof, c_char_p, c_int, c_uint, c_ulong, c_void_p
from dataclasses import dataclass
from os import close, dup2, mkdir, open, symlink, write
from resource import (
    RLIM_INFINITY,
    RLIMIT_AS,
    RLIMIT_CORE,
    RLIMIT_CPU,
    RLIMIT_DATA,
    RLIMIT_FSIZE,
    RLIMIT_NOFILE,
    RLIMIT_NPROC,
    getrlimit,
    setrlimit,
)

from recipe.retool.sandbox.zygote import linux, tree
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

NOBODY = 65534
_RLIMITS = (RLIMIT_AS, RLIMIT_CPU, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC, RLIMIT_DATA, RLIMIT_CORE)
_INODES = 16384
NICE = 10
_TMPFS = linux.MS_NOSUID | linux.MS_NODEV
# Read-only: files in it change things of the fork server, whose session and first memory a program shares.
_PROC = _TMPFS | linux.MS_NOEXEC | linux.MS_RDONLY
NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Walls:
    """What is the same for every program of a fork server.

    Attributes:
        prefixes: Interpreter folders as given to :func:`tree.build`.
        bpf: Compiled seccomp filter; empty for none.
        proc: True when the host lets us mount a ``/proc``.
        proc_fd: Descriptor of a ``/proc`` in which this process and its children are seen.
        scratch_mb: Size of the writable file system in MiB.
        landlock: Ruleset to enter, -1 for none.
    """

    prefixes: list[str]
    bpf: bytes
    proc: bool
    proc_fd: int
    scratch_mb: int
    landlock: int = -1


def builder(walls: Walls, sock: socket.socket) -> Callable[[Task], str]:
    """The function with which a child moves into the box; it gives the program's source.

    Afterwards no descriptor but 0, 1 and 2 is open, and CONTROL_FD for who is to have it. When a wall does
    not stand, the server is told over its socket and the child ends.
    """
    mounts = _file_system(walls)
    nobody = _nobody(walls)
    locks = locker(walls.bpf, walls.landlock)
    put_limits = limiter(walls.proc_fd)
    close_range = linux.raw("close_range", c_uint, c_uint, c_int)
    scratch, work, code_file = f"{tree.SCRATCH}/shm", tree.WORK, tree.CODE
    folder, nice, chdir, links = tree.FOLDER, os.nice, os.chdir, tree.prefix_links(walls.prefixes)
    setpgid = os.setpgid

    def enter(task: Task) -> str:
        job, fds = task.job, task.fds
        try:
            dup2(fds[0], 1)
            dup2(fds[1], 2)
            if job.flags & HAS_STDIN:
                dup2(fds[-1], 0)
            setpgid(0, 0)
            mounts()
            mkdir(scratch)
            mkdir(folder, 0o700)
            mkdir(work, 0o700)
            for place, target in links:
                os.makedirs(os.path.dirname(place), exist_ok=True)
                symlink(target, place)
            chdir(work)
            code = fill(fds[2]) if job.flags & HAS_FILES else code_of(task.packet)
            fd = open(code_file, NEW_FILE, 0o600)  # tracebacks and inspect read it
            write(fd, code)
            close(fd)
            if job.flags & HAND_OUT:
                hand_out(sock, job.number)
            nobody()
            put_limits(job.rlimits, job.memory_mb)
            nice(NICE)  # last: others must not wait for walls behind programs that spin
            locks()
        except (OSError, ValueError) as error:
            sock.send(text_packet(BROKEN, job.number, str(error)))
            os._exit(1)
        kept = 3
        if job.flags & HAS_CONTROL:  # not before: 3 may be one that was needed up to here
            dup2(fds[-1], CONTROL_FD)
            kept = CONTROL_FD + 1
        close_range(kept, 0xFFFFFFFF, 0)
        return code.decode("utf-8", "replace")

    return enter


def _file_system(walls: Walls) -> Callable[[], None]:
    """A mount namespace with an own scratch folder and ``/proc``."""
    unshare = linux.raw("unshare", c_int)
    mount = linux.raw("mount", c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
    # Where a filter refuses System V IPC and message queues, an IPC namespace for each holds nothing apart.
    own = linux.CLONE_NEWNS | (0 if walls.bpf else linux.CLONE_NEWIPC)
    scratch = tree.SCRATCH.encode()
    options = f"size={walls.scratch_mb}m,nr_inodes={_INODES},mode=0755".encode()
    proc = walls.proc

    def put_up() -> None:
        if unshare(own):
            raise failure("unshare")
        if mount(b"tmpfs", scratch, b"tmpfs", _TMPFS, options):
            raise failure("mount tmpfs")
        if proc and mount(b"proc", b"/proc", b"proc", _PROC, None):
            raise failure("mount proc")

    return put_up


def _nobody(walls: Walls) -> Callable[[], None]:
    """An own user namespace: no power over the other namespaces, and processes are counted for it alone."""
    unshare = linux.raw("unshare", c_int)
    proc_fd = walls.proc_fd
    lines = _map_lines(NOBODY, NOBODY)
    # When memory runs out, let it hit programs. No new namespaces: holds also where there is no seccomp.
    wishes = [("self/oom_score_adj", b"1000")]
    if walls.proc and not walls.bpf:
        wishes.append(("sys/user/max_user_namespaces", b"0"))

    def become() -> None:
        if unshare(linux.CLONE_NEWUSER):
            raise failure("unshare user")
        for path, text in lines:
            fd = open(path, os.O_WRONLY, dir_fd=proc_fd)
            write(fd, text)
            close(fd)
        for path, text in wishes:
            with suppress(OSError):
                fd = open(path, os.O_WRONLY, dir_fd=proc_fd)
                write(fd, text)
                close(fd)

    return become


def map_user(proc_fd: int, uid: int, gid: int) -> None:
    """Be nobody in the user namespace just made; ``uid`` and ``gid`` are those outside."""
    for path, text in _map_lines(uid, gid):
        fd = open(path, os.O_WRONLY, dir_fd=proc_fd)
        try:
            write(fd, text)
        finally:
            close(fd)


def _map_lines(uid: int, gid: int) -> list[tuple[str, bytes]]:
    maps = [("self/uid_map", f"{NOBODY} {uid} 1"), ("self/gid_map", f"{NOBODY} {gid} 1")]
    return [("self/setgroups", b"deny"), *((path, text.encode()) for path, text in maps)]


def limiter(proc_fd: int) -> Callable[[tuple[int, ...], int], None]:
    """A function of limits and of MiB of memory that lowers both; what we have ourselves does not count.

    Memory is what a process has to itself, not its address space alone: libraries and reserves take much of
    that and nothing of the host's. The stack is never limited: it is also the threads' size.
    """
    ours = _data_bytes(proc_fd)
    hard = [getrlimit(kind)[1] for kind in _RLIMITS]
    most = [1 << 62 if value == RLIM_INFINITY else value for value in hard]

    def put(values: tuple[int, ...], memory_mb: int) -> None:
        # Not 0: the kernel would still hand a core to a pipe, out to the host. At 1 it does not.
        for place, value in enumerate((*values, ours + (memory_mb << 20), 1)):
            if value >= 0:
                limit = min(value, most[place])
                setrlimit(_RLIMITS[place], (limit, limit))

    return put


def _data_bytes(proc_fd: int) -> int:
    return int(linux.read_at(proc_fd, "self/statm").split()[5]) * os.sysconf("SC_PAGE_SIZE")


def locker(bpf: bytes, ruleset: int = -1) -> Callable[..., None]:
    """A function that locks up: no capability, no new privilege, no system call that the filter refuses.

    Args:
        bpf: Compiled seccomp filter; empty for none.
        ruleset: Landlock ruleset to enter when the function is not given one of its own; -1 for none.
    """
    capset = linux.raw("capset", c_void_p, c_void_p)
    prctl = linux.raw("prctl", c_int, c_ulong, c_ulong, c_ulong, c_ulong)
    restrict = linux.raw("", c_int, c_uint, number=linux.LANDLOCK_RESTRICT_SELF)
    nothing, program = linux.no_capabilities(), linux.filter_program(bpf)
    address = addressof(program) if bpf else 0

    def lock(rules: int = ruleset, _keep: object = program) -> None:
        if capset(*nothing):
            raise failure("capset")
        if prctl(linux.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise failure("no_new_privs")
        if rules >= 0 and restrict(rules, 0):
            raise failure("landlock_restrict_self")
        if address and prctl(linux.PR_SET_SECCOMP, linux.SECCOMP_MODE_FILTER, address, 0, 0):
            raise failure("seccomp")

    return lock
