"""``python -m recipe.retool.sandbox.zygote.main``: the fork server's process.

Two processes: the outer one enters the namespaces and waits; the inner one is process 1 of the pid
namespace, holds the preloaded modules and forks. When either dies, so does every program. Without
namespaces the outer one keeps the programs' folders, and kills what is left of programs in the end.
"""

import gc
import importlib
import json
import os
import signal
import socket
import sys
from contextlib import suppress

from recipe.retool.sandbox.zygote import box, cell, keeper, landlock, linux, program, tree
from recipe.retool.sandbox.zygote.container_loop import ContainerLoop
from recipe.retool.sandbox.zygote.huge import collapse
from recipe.retool.sandbox.zygote.messages import (
    FAILED,
    HAS_STDIN,
    READY,
    Setup,
    receive,
    setup_from,
    text_packet,
)
from recipe.retool.sandbox.zygote.namespace_loop import NamespaceLoop
from recipe.retool.sandbox.zygote.sweep import sweep

_PRIORITY = -5
_ALL_NAMESPACES = (
    linux.CLONE_NEWUSER
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWCGROUP
)


def main(argv: list[str]) -> int:
    """Serve the socket on a descriptor, ``argv[0]``; its first packet is a :class:`Setup`."""
    sock = socket.socket(fileno=int(argv[0]))
    packet, fds = receive(sock)
    setup = setup_from(packet)
    os.umask(0o022)
    linux.set_name("retool-zygote")
    with suppress(PermissionError):  # for root: programs that spin must not keep others from starting
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # see linux.init_maker
    prefixes = tree.visible(setup.prefixes)
    try:
        groups, locks = fds[: len(fds) - setup.locks], fds[len(fds) - setup.locks :]
        for group in groups:
            os.write(group, b"0")
            os.close(group)
        proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        if setup.uids:
            return _without_namespaces(sock, setup, locks, proc_fd, prefixes)
        root = _enter_namespaces(prefixes, setup.uid, proc_fd)
        inner = os.fork()
    except OSError as error:
        sock.send(text_packet(FAILED, 0, str(error)))
        return 1
    if inner:
        sock.close()
        return _wait_for(inner)
    return _inside(sock, setup, root, proc_fd, prefixes)


def _wait_for(inner: int) -> int:
    """Wait for process 1; SIGTERM kills it, so that it leaves no orphan behind."""

    def kill(*_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(inner, signal.SIGKILL)

    signal.signal(signal.SIGTERM, kill)
    os.waitpid(inner, 0)
    return 0


def _enter_namespaces(prefixes: list[str], uid: int, proc_fd: int) -> str:
    """As root the tree is made first: nobody could not reach an interpreter in root's home."""
    root = ""
    if os.geteuid() == 0:
        linux.unshare(linux.CLONE_NEWNS)
        root = tree.build(prefixes)
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
        linux.prctl(linux.PR_SET_DUMPABLE, 1)
    outer = os.geteuid(), os.getegid()
    linux.unshare(_ALL_NAMESPACES)
    box.map_user(proc_fd, *outer)
    return root or tree.build(prefixes)


def _inside(sock: socket.socket, setup: Setup, root: str, proc_fd: int, prefixes: list[str]) -> int:
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if proc := _settle(root):
            os.close(proc_fd)
            proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        # A program shares a process 1 with us that has our memory: it must be out of its reach.
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        loaded = _preload(setup)
        loop = NamespaceLoop(sock, proc_fd)
        rules = -1
        with suppress(OSError):  # the probe tells when it is missing
            rules = landlock.ruleset()
        walls = box.Walls(prefixes, bytes.fromhex(setup.filter), proc, proc_fd, setup.scratch_mb, rules)
        enter = box.builder(walls, sock)
        become = program.prepare(tree.CODE, setup.path)
        memory_mb = _settle_memory()
    except OSError as error:
        sock.send(text_packet(FAILED, 0, str(error)))
        return 1
    ready = {"preloaded": loaded, "proc": proc, "memory_mb": memory_mb}
    sock.send(text_packet(READY, 0, json.dumps(ready)))
    task = loop.serve()
    if task is None:
        return 0
    become(enter(task), bool(task.job.flags & HAS_STDIN))


def _without_namespaces(
    sock: socket.socket, setup: Setup, locks: list[int], proc_fd: int, prefixes: list[str]
) -> int:
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    os.setgroups([])
    os.mkdir(setup.folder, 0o711)
    uids = setup.uids[:1] + tuple(sweep(setup.uids[1:], setup.uids[0], keeper.START_SECONDS))
    ears, broom = os.pipe()
    outer = os.getpid()
    inner = os.fork()
    if inner:
        sock.close()
        os.close(broom)
        return keeper.keep(inner, ears, setup.folder, uids)
    os.close(ears)
    for lock in locks:
        os.close(lock)
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != outer:
            return 1
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        linux.prctl(linux.PR_SET_DUMPABLE, 0)
        loaded = _preload(setup)
        loop = ContainerLoop(sock, uids, broom, proc_fd)
        walls = cell.Cell(prefixes, bytes.fromhex(setup.filter), proc_fd, setup.folder)
        enter = cell.builder(walls, sock)
        become = program.prepare(tree.CODE, setup.path)
        memory_mb = _settle_memory()
    except OSError as error:
        sock.send(text_packet(FAILED, 0, str(error)))
        return 1
    sock.send(text_packet(READY, 0, json.dumps({"preloaded": loaded, "proc": False, "memory_mb": memory_mb})))
    task = loop.serve()
    if task is None:
        return 0
    source, name = enter(task)
    become(source, bool(task.job.flags & HAS_STDIN), name)


def _settle(root: str) -> bool:
    """Make the tree the root; True when a fresh /proc could be mounted."""
    # Mounts that came from a mightier namespace are locked; a copy of them has an unlocked top.
    linux.mount(root, root, None, linux.MS_BIND | linux.MS_REC)
    proc = True
    try:
        flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
        linux.mount("proc", root + "/proc", "proc", flags)
    except PermissionError:  # parts of the host's own /proc are covered, as in many containers
        proc = False
    linux.pivot_to(root)
    linux.lock_mount("/", linux.MS_RDONLY, recursive=False)
    socket.sethostname("sandbox")
    return proc


def _preload(setup: Setup) -> list[str]:
    import site

    site.setquit()  # python -S leaves exit() and quit() out
    sys.path[:] = setup.path
    for name in ("PYTHONPATH", "LD_BIND_NOW"):  # for us alone
        os.environ.pop(name, None)
    loaded = []
    for name in setup.preload:
        with suppress(ImportError):
            importlib.import_module(name)
            loaded.append(name)
    return loaded


def _settle_memory() -> int:
    """Leave as little as possible that a child would have to copy; returns the address space in MiB."""
    _forget_ourselves()
    gc.collect()
    gc.disable()
    gc.freeze()  # a collection in a child would write to, and so copy, every page of these
    collapse()
    return _address_space_mb()


def _forget_ourselves() -> None:
    """Hide our modules from the programs. Here, for in a child each look at a name would copy a page."""
    for name in [name for name in sys.modules if name == "recipe" or name.startswith("recipe.")]:
        del sys.modules[name]


def _address_space_mb() -> int:
    with suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGESIZE") >> 20
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
