"""What the server and the fork server say to each other: one JSON object a packet, descriptors beside it."""

import json
import socket
from dataclasses import asdict, dataclass
from typing import Any

_PACKET = 65536
_MOST_FDS = 8


@dataclass(frozen=True)
class Job:
    """One program. Its descriptors: payload, stdin, stdout, stderr, channel for what goes wrong before it.

    The payload is a JSON object with ``code`` and ``files`` (relative path to base64).

    Attributes:
        number: Names the run in later packets.
        rlimits: Address space, CPU seconds, file size, open files, processes; -1 leaves one alone.
        scratch_mb: Size of the writable file system in MiB.
        hand_out: Send a descriptor of the working directory over the channel.
    """

    number: int
    rlimits: tuple[int, ...]
    scratch_mb: int
    hand_out: bool


@dataclass(frozen=True)
class Setup:
    """What a fork server is told on its command line.

    Attributes:
        path: ``sys.path`` of the programs.
        prefixes: Folders of the interpreter, to be seen by programs.
        preload: Modules to import once, where they are installed.
        filter: Hexadecimal text of a compiled seccomp filter; empty for none.
        uid: User to become when started as root.
    """

    path: tuple[str, ...]
    prefixes: tuple[str, ...]
    preload: tuple[str, ...]
    filter: str
    uid: int


def to_json(value: Setup | Job) -> str:
    """Text of a dataclass above."""
    return json.dumps(asdict(value))


def setup_from(text: str) -> Setup:
    """The other way."""
    fields = json.loads(text)
    lists = {name: tuple(fields[name]) for name in ("path", "prefixes", "preload")}
    return Setup(filter=fields["filter"], uid=fields["uid"], **lists)


def job_from(fields: dict[str, Any]) -> Job:
    """The other way, of a decoded packet."""
    return Job(fields["number"], tuple(fields["rlimits"]), fields["scratch_mb"], fields["hand_out"])


def send(sock: socket.socket, fields: dict[str, Any], fds: list[int] | None = None) -> None:
    """Send one packet."""
    socket.send_fds(sock, [json.dumps(fields).encode()], fds or [])


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Receive one packet; EOFError when the other end is gone."""
    data, fds, _, _ = socket.recv_fds(sock, _PACKET, _MOST_FDS)
    if not data:
        raise EOFError
    return json.loads(data), list(fds)
