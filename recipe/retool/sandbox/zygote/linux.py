"""The Linux system calls that Python has no function for (``os.unshare`` came with 3.12)."""

import ctypes
import functools
import mmap
import os
import signal
from collections.abc import Callable

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
_CLONE_VM, _CLONE_FS, _CLONE_FILES = 0x100, 0x200, 0x400
_MNT_DETACH, _PR_SET_NAME = 2, 15
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = (
    444,
    445,
    446,
)  # the same numbers on every architecture
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_CAPABILITY_VERSION_3 = 0x20080522
_STACK_BYTES = 4 * mmap.PAGESIZE
_CapabilityHeader = ctypes.c_uint32 * 2
_CapabilitySets = ctypes.c_uint32 * 6


class _FilterProgram(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("code", ctypes.c_char_p))


@functools.cache
def _libc() -> ctypes.PyDLL:
    # PyDLL keeps the interpreter's lock: none of these calls waits, and fork must not lose it.
    return ctypes.PyDLL(None, use_errno=True)


def _call(name: str, *args: object) -> int:
    result = int(getattr(_libc(), name)(*args))
    if result < 0:
        raise failure(name)
    return result


def failure(name: str) -> OSError:
    """The error of the call that has just returned a negative number."""
    number = ctypes.get_errno()
    return OSError(number, f"{name}: {os.strerror(number)}")


def raw(name: str, *types: type, number: int = 0) -> Callable[..., int]:
    """A function of the C library, or with ``number`` a system call, that gives -1 for an error.

    For the way of a child to its program: with its types declared and its name looked up beforehand, a call
    touches few objects, and each page of them that a child touches is a copy and a microsecond or three.
    """
    function = _libc()["syscall" if number else name]  # not getattr: that one is shared, and so its types
    function.argtypes = (ctypes.c_long, *types) if number else types
    return functools.partial(function, number) if number else function


def unshare(flags: int) -> None:
    """New namespaces for the calling process (CLONE_NEWPID: for its next children)."""
    _call("unshare", flags)


def setns(fd: int, kind: int) -> None:
    """Enter a namespace, given as a descriptor of it or as a pidfd of a process in it."""
    _call("setns", fd, kind)


def prctl(option: int, value: int) -> None:
    """One of the simple options."""
    _call("prctl", option, ctypes.c_ulong(value), 0, 0, 0)


def read_at(folder: int, path: str, most: int = 65536) -> bytes:
    """The start of a file below a folder that is open."""
    fd = os.open(path, os.O_RDONLY, dir_fd=folder)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def set_name(name: str) -> None:
    """The name that ps and top show, at most 15 letters; children inherit it."""
    _call("prctl", _PR_SET_NAME, name.encode(), 0, 0, 0)


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2)."""
    fields = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    _call("mount", *fields, ctypes.c_ulong(flags), os.fsencode(data))


def lock_mount(target: str, flags: int, recursive: bool) -> None:
    """Add MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC to a mount, and to all below it (Linux 5.12)."""
    attributes = (ctypes.c_uint64 * 4)(flags, 0, 0, 0)
    where = _AT_RECURSIVE if recursive else 0
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    path = os.fsencode(target)
    _call("syscall", _SYS_MOUNT_SETATTR, _AT_FDCWD, path, where, ctypes.byref(attributes), size)


def pivot_to(root: str) -> None:
    """Make a mount the root of this mount namespace, and let go of the old root."""
    os.chdir(root)
    _call("syscall", _pivot_root_number(), b".", b".")
    _call("umount2", b".", _MNT_DETACH)
    os.chdir("/")


def _pivot_root_number() -> int:
    return 155 if os.uname().machine == "x86_64" else 41  # 41: the table that newer architectures share


def no_capabilities() -> tuple[object, object]:
    """The two arguments with which capset(2) gives up every capability."""
    return _CapabilityHeader(_CAPABILITY_VERSION_3, 0), _CapabilitySets()


def filter_program(bpf: bytes) -> ctypes.Structure:
    """A compiled seccomp filter as prctl(2) takes it: the object has to live, its address is the argument."""
    return _FilterProgram(len(bpf) // 8, bpf)


class Stack:
    """Memory for the stack of one process 1; it may be used again once that process is reaped."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _STACK_BYTES)
        self.top = ctypes.addressof(ctypes.c_char.from_buffer(self._memory)) + _STACK_BYTES


def init_maker() -> Callable[[int], int]:
    """A function of a stack's top that starts process 1 of a new pid namespace and gives its pid, or -1.

    The process sleeps until it is killed. It shares our memory and descriptors, so it costs no copy of
    either, and it runs ``pause`` and nothing else. A program is then process 2: as process 1 it would be
    spared its own SIGKILL and SIGABRT. No signal handler of ours may be set, or the program could have it run
    in our memory.
    """
    pause = ctypes.cast(_libc()["pause"], ctypes.c_void_p).value
    clone = raw("clone", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
    flags = CLONE_NEWPID | _CLONE_VM | _CLONE_FS | _CLONE_FILES | signal.SIGCHLD
    return lambda top: clone(pause, top, flags, None)


def child_watch() -> int:
    """A descriptor that can be read when a child has ended; SIGCHLD is blocked for it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    mask = (ctypes.c_uint64 * 16)(1 << (signal.SIGCHLD - 1))
    return _call("signalfd", -1, ctypes.byref(mask), os.O_NONBLOCK | os.O_CLOEXEC)
