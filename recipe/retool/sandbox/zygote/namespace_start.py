"""The start of a fork server with namespaces: the outer process makes them, the inner is process 1 there."""

import os
import signal
import socket
from contextlib import suppress

from recipe.retool.sandbox.zygote import box, landlock, linux, program, tree
from recipe.retool.sandbox.zygote.messages import FAILED, HAS_STDIN, READY, Setup, text_packet
from recipe.retool.sandbox.zygote.namespace_loop import NamespaceLoop
from recipe.retool.sandbox.zygote.preload import preload, settle_memory

_ALL_NAMESPACES = (
    linux.CLONE_NEWUSER
    | linux.CLONE_NEWNS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWCGROUP
)


def start(sock: socket.socket, setup: Setup, prefixes: list[str], proc_fd: int) -> int:
    """Serve until the server has gone; the exit code. OSError when the namespaces cannot be made."""
    root = _enter_namespaces(prefixes, setup.uid, proc_fd)
    inner = os.fork()
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
        preload(setup)
        loop = NamespaceLoop(sock, proc_fd)
        rules = -1
        with suppress(OSError):  # the probe tells when it is missing
            rules = landlock.ruleset()
        walls = box.Walls(prefixes, bytes.fromhex(setup.filter), proc, proc_fd, setup.scratch_mb, rules)
        enter = box.builder(walls, sock)
        become = program.prepare(tree.CODE, setup.path)
        memory_mb = settle_memory()
    except OSError as error:
        sock.send(text_packet(FAILED, 0, str(error)))
        return 1
    sock.send(text_packet(READY, 0, str(memory_mb)))
    task = loop.serve()
    if task is None:
        return 0
    become(enter(task), bool(task.job.flags & HAS_STDIN))


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
