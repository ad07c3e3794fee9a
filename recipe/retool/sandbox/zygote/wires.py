"""The descriptors of one run, at the server's end and at the program's."""

import asyncio
import os
import socket
from types import TracebackType

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.ending import flood_note
from recipe.retool.sandbox.limits import Limits
from recipe.retool.sandbox.output import CappedOutput, PipeReader
from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.zygote.files import payload_fd, text_fd

_MESSAGE = 8192


class Wires:
    """Context manager; all is closed in the end. ``theirs`` is in the order that Job describes."""

    def __init__(self, request: RunRequest, limits: Limits) -> None:
        self._limits = limits
        self._outputs = [CappedOutput(limits.output_bytes) for _ in range(2)]
        self._readers: list[PipeReader] = []
        self._channel: socket.socket | None = None
        self._folder = -1
        self.flooded = asyncio.Event()
        self.theirs: list[int] = []
        try:
            self._open(request)
        except BaseException:
            self.close()
            raise

    def _open(self, request: RunRequest) -> None:
        self.theirs.append(payload_fd(request))
        self.theirs.append(text_fd(request.stdin))
        for output in self._outputs:
            read_end, write_end = os.pipe()
            self.theirs.append(write_end)
            self._readers.append(PipeReader(read_end, output, self._limits.flood_bytes, self.flooded.set))
        self._channel, channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.setblocking(False)
        self.theirs.append(channel.detach())

    async def texts(self) -> tuple[str, str]:
        """What was printed on stdout and stderr, once all that could print is dead."""
        await asyncio.wait([reader.finished for reader in self._readers], timeout=1.0)
        stdout, stderr = (output.text() for output in self._outputs)
        return stdout, stderr + (flood_note(self._limits.flood_bytes) if self.flooded.is_set() else "")

    def folder(self) -> int:
        """Descriptor of the working directory, -1 for none; SandboxError when the walls did not stand."""
        while self._channel is not None:
            try:
                message, fds, _, _ = socket.recv_fds(self._channel, _MESSAGE, 1)
            except BlockingIOError:
                break
            if not message:
                break
            if not fds:
                raise SandboxError(message.decode("utf-8", "replace"))
            self._folder = fds[0]
        return self._folder

    def close_theirs(self) -> None:
        """Close the program's ends here, so that their end is seen."""
        while self.theirs:
            os.close(self.theirs.pop())

    def close(self) -> None:
        """Close everything."""
        self.close_theirs()
        for reader in self._readers:
            reader.close()
        if self._channel is not None:
            self._channel.close()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def __enter__(self) -> "Wires":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
