"""The start of a fork server without namespaces: the outer process keeps the programs' folders and sweeps."""

import os
import signal
import socket

from recipe.retool.sandbox.zygote import cell, keeper, linux, program, tree
from recipe.retool.sandbox.zygote.container_loop import ContainerLoop
from recipe.retool.sandbox.zygote.messages import FAILED, HAS_STDIN, READY, Setup, text_packet
from recipe.retool.sandbox.zygote.preload import preload, settle_memory
from recipe.retool.sandbox.zygote.sweep import sweep


def start(sock: socket.socket, setup: Setup, prefixes: list[str], proc_fd: int, locks: list[int]) -> int:
    """Serve until the server has gone; the exit code. ``locks``: descriptors that claim the users."""
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
        preload(setup)
        loop = ContainerLoop(sock, uids, broom, proc_fd)
        walls = cell.Cell(prefixes, bytes.fromhex(setup.filter), proc_fd, setup.folder)
        enter = cell.builder(walls, sock)
        become = program.prepare(tree.CODE, setup.path)
        memory_mb = settle_memory()
    except OSError as error:
        sock.send(text_packet(FAILED, 0, str(error)))
        return 1
    sock.send(text_packet(READY, 0, str(memory_mb)))
    task = loop.serve()
    if task is None:
        return 0
    source, name = enter(task)
    become(source, bool(task.job.flags & HAS_STDIN), name)
