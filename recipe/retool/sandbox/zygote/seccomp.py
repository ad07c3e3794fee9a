"""The system calls that no program needs, as a filter that the kernel understands.

Made once, in the server, with libseccomp through the package ``pyseccomp``; the fork server only installs
the compiled filter. Namespaces, capabilities and mounts are closed already: this takes away kernel code
that a program could attack, new user namespaces above all, and kinds of sockets that no network namespace
holds back. System V IPC and POSIX message queues are refused too (POSIX shared memory, which Python uses, is
a file in the scratch folder): programs of one fork server share an IPC namespace; nothing must stay in it.
"""

import contextlib
import errno
import functools
import logging
import os
import tempfile
from typing import Any

from recipe.retool.sandbox.zygote import landlock

logger = logging.getLogger(__name__)
_REFUSED = """
    acct add_key adjtimex bpf chroot clock_adjtime clock_settime delete_module fanotify_init
    finit_module fsconfig fsmount fsopen fspick init_module inotify_add_watch inotify_init inotify_init1
    io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl
    lookup_dcookie memfd_create mount mount_setattr move_mount mq_getsetattr mq_notify mq_open
    mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd name_to_handle_at
    open_by_handle_at open_tree perf_event_open personality pidfd_getfd pivot_root process_madvise
    process_vm_readv process_vm_writev ptrace quotactl reboot request_key semctl semget semop semtimedop
    setdomainname sethostname setns settimeofday shmat shmctl shmdt shmget swapoff swapon syslog umount
    umount2 unshare userfaultfd vhangup
"""
# Without namespaces: what reaches others by a path or a name that landlock does not watch.
_REFUSED_ALONE = """
    accept accept4 bind connect fremovexattr fsetxattr listen lremovexattr lsetxattr removexattr
    removexattrat setxattr setxattrat
"""
_LANDLOCK_TRUNCATE = 3  # the version that watches truncate(2)
_PAIRS = (2, 3, 4, 10)  # all but streams and packets of them: only these cannot be pointed at another address
_CLONE_PARENT = 0x00008000  # a child of the fork server's, not of the program's
_REFUSED_FLAGS = (
    _CLONE_PARENT,
    0x00020000,
    0x02000000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_LAST_ADDRESS_FAMILY = 10  # AF_INET6
_ALLOWED_FAMILIES = (1,)  # AF_UNIX: it ends at the own network namespace, and leaves no counters in it


@functools.cache
def compiled_filter(alone: bool = False) -> tuple[bytes, str]:
    """(filter, ""), or (b"", why there is none).

    Args:
        alone: There are no namespaces: the filter has to close the network, too.
    """
    try:
        import pyseccomp
    except ImportError:
        return b"", "the package pyseccomp is not installed"
    except RuntimeError as error:
        return b"", f"libseccomp is not installed: {error}"
    try:
        return _compile(pyseccomp, alone), ""
    except (OSError, RuntimeError, ValueError) as error:
        return b"", f"libseccomp could not make the filter: {error}"


def _compile(seccomp: Any, alone: bool) -> bytes:
    made = seccomp.SyscallFilter(seccomp.ALLOW)
    refuse = seccomp.ERRNO(errno.EPERM)
    for name in _refused(alone):
        with contextlib.suppress(OSError, ValueError, RuntimeError):  # unknown here: nothing to refuse
            made.add_rule(refuse, name)
    for flag in _REFUSED_FLAGS:
        made.add_rule(refuse, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    # Its flags lie in memory, out of a filter's sight; the C library falls back to clone.
    made.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")
    # It does nothing, and says that it did. Many kernels share the processor out by session: programs
    # that open sessions by the hundred would leave the server no time to have them killed.
    made.add_rule(seccomp.ERRNO(0), "setsid")
    if alone:
        _refuse_all_sockets(seccomp, made)
    else:
        _refuse_sockets(seccomp, made)
    with tempfile.TemporaryFile() as file:
        made.export_bpf(file)
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        return file.read()


def _refuse_sockets(seccomp: Any, made: Any) -> None:
    unsupported = seccomp.ERRNO(errno.EAFNOSUPPORT)
    arg, add = seccomp.Arg, made.add_rule
    for family in range(_LAST_ADDRESS_FAMILY + 1):
        if family not in _ALLOWED_FAMILIES:
            add(unsupported, "socket", arg(0, seccomp.EQ, family))
    add(unsupported, "socket", arg(0, seccomp.GT, _LAST_ADDRESS_FAMILY))


def _refuse_all_sockets(seccomp: Any, made: Any) -> None:
    made.add_rule(seccomp.ERRNO(errno.EACCES), "socket")
    for kind in _PAIRS:
        made.add_rule(seccomp.ERRNO(errno.EACCES), "socketpair", seccomp.Arg(1, seccomp.MASKED_EQ, 0xF, kind))


def _refused(alone: bool) -> list[str]:
    if not alone:
        return _REFUSED.split()
    try:
        old = landlock.version() < _LANDLOCK_TRUNCATE
    except OSError:
        old = True
    return [*_REFUSED.split(), *_REFUSED_ALONE.split(), *(("truncate",) if old else ())]
