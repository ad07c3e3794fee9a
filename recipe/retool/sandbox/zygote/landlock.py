"""Landlock: one more wall, from the kernel's own hand, that holds even where a namespace should not.

Beside namespaces its rules need no path: no device files are made or spoken to, no TCP port is bound or
called, no signal and no abstract socket reaches beyond the program's own processes. Without namespaces it is
the wall around the file system, and each program has rules of its own.
"""

import ctypes
import os
from collections.abc import Callable, Iterable

from recipe.retool.sandbox.zygote import linux

_VERSION = 1
# By version of the interface, what it can refuse: file system, network, scope (linux/landlock.h).
_MAKE_DEVICES, _DEVICE_CALLS = 1 << 6 | 1 << 11, 1 << 15
_BIND_AND_CONNECT_TCP = 3
_SOCKETS_AND_SIGNALS = 3
_READ, _READ_AND_WRITE = 1 << 0 | 1 << 2 | 1 << 3, 1 << 1 | 1 << 2
_PATH_BENEATH = 1


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Version of the kernel's landlock; OSError when there is none."""
    found = _create()(None, 0, _VERSION)
    if found < 1:
        raise linux.failure("landlock")
    return found


def ruleset() -> int:
    """Descriptor of the rules, for a process to enter; OSError when this kernel has no landlock."""
    found = version()
    rules = _rules(_MAKE_DEVICES | (_DEVICE_CALLS if found >= 5 else 0), found)
    fd = _create()(*rules, 0)
    if fd < 0:
        raise linux.failure("landlock")
    return fd


def cages(readable: Iterable[str], devices: Iterable[str]) -> Callable[[str], int]:
    """A function of a folder that makes rules to enter: all may be done there, and nothing elsewhere.

    Args:
        readable: Files and folders that may be read and executed all the same; those missing are left out.
        devices: Devices that may be read and written.
    """
    found = version()
    # File system rights are numbered in the order in which versions brought them.
    every = (1 << (16 if found >= 5 else 15 if found >= 3 else 14 if found >= 2 else 13)) - 1
    rules, own = _rules(every, found), every & ~_MAKE_DEVICES & ~_DEVICE_CALLS
    common = [_path(name, _READ if os.path.isdir(name) else _READ & ~(1 << 3)) for name in _there(readable)]
    common += [_path(name, _READ_AND_WRITE) for name in _there(devices)]
    create, added = _create(), [ctypes.byref(one) for one in common]
    add = linux.raw(
        "", ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, number=linux.LANDLOCK_ADD_RULE
    )

    def cage(folder: str) -> int:
        fd = create(*rules, 0)
        if fd < 0:
            raise linux.failure("landlock")
        for one in (*added, ctypes.byref(_path(folder, own))):
            if add(fd, _PATH_BENEATH, one, 0):
                raise linux.failure("landlock_add_rule")
        return fd

    return cage


def _create() -> Callable[..., int]:
    arguments = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
    return linux.raw("", *arguments, number=linux.LANDLOCK_CREATE_RULESET)


def _rules(fs: int, found: int) -> tuple[object, int]:
    """The first two arguments of landlock_create_ruleset(2)."""
    net = _BIND_AND_CONNECT_TCP if found >= 4 else 0
    rules = _Ruleset(fs=fs, net=net, scoped=_SOCKETS_AND_SIGNALS if found >= 6 else 0)
    return ctypes.byref(rules), 24 if found >= 6 else 16 if found >= 4 else 8


def _there(names: Iterable[str]) -> list[str]:
    """Those that exist, without links, and without what lies in another."""
    found: list[str] = []
    for name in sorted({os.path.realpath(name) for name in names}):
        if os.path.exists(name) and not any(name.startswith(f"{outer}/") for outer in found):
            found.append(name)
    return found


def _path(name: str, access: int) -> _PathBeneath:
    return _PathBeneath(access, os.open(name, os.O_PATH | os.O_CLOEXEC))
