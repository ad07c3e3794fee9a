"""What the server and the fork server say to each other: one packet each, descriptors beside it.

Packets are packed structures, not JSON: the fork server's memory is shared with its programs, and every page
that it or they touch on the way to a program's first line is a page that the kernel has to copy.
"""

import array
import json
import os
import socket
import struct
from dataclasses import asdict, dataclass

PACKET = 1 << 17
INLINE = 1 << 16  # longer programs travel in a file of memory
_MOST_FDS = 8
_JOB = struct.Struct("<cI5qIB")
_HEAD = struct.Struct("<cI")
_DONE = struct.Struct("<cIi?")
_KILL, _START, _FORGET = b"K", b"J", b"O"
READY, FAILED, ENDED, BROKEN, FOLDER = b"R", b"F", b"D", b"E", b"W"
HAND_OUT, HAS_FILES, HAS_STDIN, HAS_CONTROL = 1, 2, 4, 8
CONTROL_FD = 3


@dataclass(frozen=True)
class Job:
    """One program. Its descriptors: stdout, stderr, and those that ``flags`` name, in this order.

    Attributes:
        number: Names the run in later packets.
        rlimits: Address space, CPU seconds, file size, open files, processes; -1 leaves one alone.
        memory_mb: Most memory in MiB of all its processes together.
        flags: HAND_OUT: send a descriptor of the working directory. HAS_FILES: a descriptor of a JSON object
            with ``code`` and ``files`` (relative path to base64) comes along, and no program in the packet.
            HAS_STDIN: a descriptor for standard input comes along. HAS_CONTROL, with none of the others: one
            that the program keeps, as CONTROL_FD.
    """

    number: int
    rlimits: tuple[int, ...]
    memory_mb: int
    flags: int


@dataclass(frozen=True)
class Setup:
    """What a fork server is told first: not on a command line, which others can see.

    Descriptors of the control groups to enter come along, and the ``locks``.

    Attributes:
        path: ``sys.path`` of the programs.
        prefixes: Folders of the interpreter, to be seen by programs.
        preload: Modules to import once, where they are installed.
        filter: Hexadecimal text of a compiled seccomp filter; empty for none.
        uid: User to become when started as root.
        scratch_mb: Size of a program's writable file system in MiB.
        uids: Without namespaces: users of its own, the first for itself and one for each program.
        locks: How many of the descriptors, the last ones, keep these users claimed.
        folder: Without namespaces: a folder to make, for those of the programs.
    """

    path: tuple[str, ...]
    prefixes: tuple[str, ...]
    preload: tuple[str, ...]
    filter: str
    uid: int
    scratch_mb: int
    uids: tuple[int, ...] = ()
    locks: int = 0
    folder: str = ""


@dataclass(frozen=True)
class Report:
    """A packet from the fork server: its kind, the run that it is about, and what belongs to the kind."""

    kind: bytes
    number: int
    status: int = 0
    too_big: bool = False
    text: str = ""


def setup_packet(setup: Setup) -> bytes:
    """The first packet to a fork server."""
    return json.dumps(asdict(setup)).encode()


def setup_from(packet: bytes) -> Setup:
    """The other way."""
    fields = json.loads(packet)
    fields.update({name: tuple(fields[name]) for name in ("path", "prefixes", "preload", "uids")})
    return Setup(**fields)


def job_packet(job: Job, code: bytes) -> bytes:
    """To the fork server: start this program, in UTF-8."""
    return _JOB.pack(_START, job.number, *job.rlimits, job.memory_mb, job.flags) + code


def code_of(packet: memoryview) -> bytes:
    """The program in the packet of a job. For the child alone: the fork server keeps no copy of any program,
    or the next ones would find it in their memory."""
    return bytes(packet[_JOB.size :])


def kill_packet(number: int) -> bytes:
    """To the fork server: kill that run."""
    return _HEAD.pack(_KILL, number)


def forget_packet(number: int) -> bytes:
    """To the fork server: the folder of that run has been looked into, and may go."""
    return _HEAD.pack(_FORGET, number)


def command_of(packet: memoryview) -> Job | int:
    """What a packet to the fork server asks for: a job, a number of a run to kill, or minus one to forget."""
    if packet[:1] == _FORGET:
        return -int(_HEAD.unpack(packet)[1])
    if packet[:1] == _KILL:
        return int(_HEAD.unpack(packet)[1])
    _, number, *limits, memory_mb, flags = _JOB.unpack_from(packet)
    return Job(number, tuple(limits), memory_mb, flags)


def ended_packet(number: int, status: int, too_big: bool) -> bytes:
    """From the fork server: a run is over, all its processes are dead.

    Args:
        number: Which run.
        status: Its exit code; negative for a signal.
        too_big: True when it was killed for the memory of its processes together.
    """
    return _DONE.pack(ENDED, number, status, too_big)


def text_packet(kind: bytes, number: int, text: str) -> bytes:
    """From the fork server: READY, FAILED (number 0), BROKEN or FOLDER with a text."""
    return _HEAD.pack(kind, number) + text.encode("utf-8", "replace")[:4096]


def report_of(packet: bytes) -> Report:
    """What a packet from the fork server says."""
    if packet[:1] == ENDED:
        return Report(*_DONE.unpack(packet))
    kind, number = _HEAD.unpack_from(packet)
    return Report(kind, number, text=packet[_HEAD.size :].decode("utf-8", "replace"))


def receive(sock: socket.socket, buffer: bytearray) -> tuple[int, list[int]]:
    """Receive a packet into the buffer: its size and its descriptors; EOFError at the other's end."""
    size, extra, _, _ = sock.recvmsg_into([buffer], socket.CMSG_SPACE(4 * _MOST_FDS))
    fds = array.array("i")
    for _, _, content in extra:
        fds.frombytes(content)
    if not size:
        for fd in fds:
            os.close(fd)
        raise EOFError
    return size, fds.tolist()
