"""Landlock: one more wall, from the kernel's own hand, that holds even where a namespace should not.

Its rules need no path: no device files are made or spoken to, no TCP port is bound or called, no signal and
no abstract socket reaches beyond the program's own processes.
"""

import ctypes

from recipe.retool.sandbox.zygote import linux

_VERSION = 1
# By version of the interface, what it can refuse: file system, network, scope (linux/landlock.h).
_MAKE_DEVICES, _DEVICE_CALLS = 1 << 6 | 1 << 11, 1 << 15
_BIND_AND_CONNECT_TCP = 3
_SOCKETS_AND_SIGNALS = 3


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


def ruleset() -> int:
    """Descriptor of the rules, for a process to enter; OSError when this kernel has no landlock."""
    create = linux.raw(
        "", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint, number=linux.LANDLOCK_CREATE_RULESET
    )
    version = create(None, 0, _VERSION)
    if version < 1:
        raise linux.failure("landlock")
    rules = _Ruleset(
        fs=_MAKE_DEVICES | (_DEVICE_CALLS if version >= 5 else 0),
        net=_BIND_AND_CONNECT_TCP if version >= 4 else 0,
        scoped=_SOCKETS_AND_SIGNALS if version >= 6 else 0,
    )
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    fd = create(ctypes.byref(rules), size, 0)
    if fd < 0:
        raise linux.failure("landlock")
    return fd
