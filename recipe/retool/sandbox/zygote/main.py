"""``python -m recipe.retool.sandbox.zygote.main``: the fork server's process.

Two processes: the outer one enters the namespaces and waits; the inner one is process 1 of the pid
namespace, holds the preloaded modules and forks. When either dies, so does every program. Without
namespaces the outer one keeps the programs' folders, and kills what is left of programs in the end.
"""

import os
import signal
import socket
import sys
from contextlib import suppress

from recipe.retool.sandbox.zygote import linux, tree
from recipe.retool.sandbox.zygote.messages import FAILED, PACKET, receive, setup_from, text_packet

_PRIORITY = -5


def main(argv: list[str]) -> int:
    """Serve the socket on a descriptor, ``argv[0]``; its first packet is a ``messages.Setup``."""
    sock = socket.socket(fileno=int(argv[0]))
    buffer = bytearray(PACKET)
    size, fds = receive(sock, buffer)
    setup = setup_from(bytes(buffer[:size]))
    os.umask(0o022)
    linux.set_name("retool-zygote")
    with suppress(PermissionError):  # for root: programs that spin must not keep others from starting
        os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # see linux.init_maker
    prefixes = tree.visible(setup.prefixes)
    groups, locks = fds[: len(fds) - setup.locks], fds[len(fds) - setup.locks :]
    # Each imported here: what is loaded is part of every program, and costs each of them.
    try:
        for group in groups:
            os.write(group, b"0")
            os.close(group)
        proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        if setup.uids:
            from recipe.retool.sandbox.zygote import container_start

            return container_start.start(sock, setup, prefixes, proc_fd, locks)
        from recipe.retool.sandbox.zygote import namespace_start

        return namespace_start.start(sock, setup, prefixes, proc_fd)
    except OSError as error:
        sock.send(text_packet(FAILED, 0, str(error)))
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
