"""The Linux system calls that Python has no function for (``os.unshare`` came with 3.12)."""

import ctypes
import functools
import mmap
import os
import signal

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38
_CLONE_VM, _CLONE_FS, _CLONE_FILES = 0x100, 0x200, 0x400
_MNT_DETACH = 2
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_CAPABILITY_VERSION_3 = 0x20080522
_STACK_BYTES = 4 * mmap.PAGESIZE
_CapabilityHeader = ctypes.c_uint32 * 2
_CapabilitySets = ctypes.c_uint32 * 6


class _FilterProgram(ctypes.Structure):
    _fields_ = (("count", ctypes.c_ushort), ("code", ctypes.c_char_p))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *args: object) -> int:
    result = int(getattr(_libc(), name)(*args))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """New namespaces for the calling process (CLONE_NEWPID: for its next children)."""
    _call("unshare", flags)


def setns(fd: int, kind: int) -> None:
    """Enter a namespace, given as a descriptor of it or as a pidfd of a process in it."""
    _call("setns", fd, kind)


def prctl(option: int, value: int) -> None:
    """One of the simple options."""
    _call("prctl", option, ctypes.c_ulong(value), 0, 0, 0)


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


def drop_capabilities() -> None:
    """Give up every capability."""
    header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
    _call("capset", ctypes.byref(header), ctypes.byref(_CapabilitySets()))


def install_filter(bpf: bytes) -> None:
    """Put a compiled seccomp filter in force; needs no_new_privs."""
    program = _FilterProgram(len(bpf) // 8, bpf)
    _call("prctl", _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)


class Stack:
    """Memory for the stack of one :func:`clone_init`; it may be used again once that process is reaped."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _STACK_BYTES)
        self.top = ctypes.addressof(ctypes.c_char.from_buffer(self._memory)) + _STACK_BYTES


def clone_init(stack: Stack) -> int:
    """Start process 1 of a new pid namespace and return its pid: it sleeps until it is killed.

    It shares our memory and descriptors, so it costs no copy of either, and it runs ``pause`` and nothing
    else. A program is then process 2: as process 1 it would be spared its own SIGKILL and SIGABRT.
    No signal handler of ours may be set, or the program could have it run in our memory.
    """
    libc = _libc()
    pause = ctypes.cast(libc.pause, ctypes.c_void_p)
    flags = CLONE_NEWPID | _CLONE_VM | _CLONE_FS | _CLONE_FILES | signal.SIGCHLD
    return _call("clone", pause, ctypes.c_void_p(stack.top), flags, None)
