"""The descriptors of one run, at the server's end and at the program's."""

import os
from collections.abc import Callable
from types import TracebackType

from recipe.retool.sandbox.ending import flood_note
from recipe.retool.sandbox.limits import Limits
from recipe.retool.sandbox.output import CappedOutput, PipeReader
from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.zygote.files import payload_fd, text_fd
from recipe.retool.sandbox.zygote.messages import HAND_OUT, HAS_FILES, HAS_STDIN, INLINE


class Wires:
    """Context manager; all is closed in the end.

    Args:
        request: The program.
        limits: Bounds of its output.
        on_flood: Called once when it prints without end.

    Attributes:
        theirs: The program's ends, in the order that ``messages.Job`` describes.
        flags: Flags of that job.
        code: The program itself, unless it travels in one of the descriptors.
        flooded: It printed more than the limits let through.
    """

    def __init__(self, request: RunRequest, limits: Limits, on_flood: Callable[[], None]) -> None:
        self._limits = limits
        self._on_flood = on_flood
        self._outputs = [CappedOutput(limits.output_bytes) for _ in range(2)]
        self._readers: list[PipeReader] = []
        self.flooded = False
        self.theirs: list[int] = []
        self.flags = HAND_OUT if request.fetch_files else 0
        self.code = request.code.encode("utf-8", "replace")
        try:
            self._open(request)
        except BaseException:
            self.close()
            raise

    def _open(self, request: RunRequest) -> None:
        for output in self._outputs:
            read_end, write_end = os.pipe()
            os.fchmod(write_end, 0o666)  # a program may open /dev/stdout, and is another user
            self.theirs.append(write_end)
            self._readers.append(PipeReader(read_end, output, self._limits.flood_bytes, self._flood))
        if request.files or len(self.code) > INLINE:
            self.theirs.append(payload_fd(request))
            self.flags |= HAS_FILES
            self.code = b""
        if request.stdin is not None:
            self.theirs.append(text_fd(request.stdin))
            self.flags |= HAS_STDIN

    def _flood(self) -> None:
        if not self.flooded:
            self.flooded = True
            self._on_flood()

    def texts(self) -> tuple[str, str]:
        """What was printed on stdout and stderr, once all that could print is dead."""
        for reader in self._readers:
            reader.drain()
        stdout, stderr = (output.text() for output in self._outputs)
        return stdout, stderr + (flood_note(self._limits.flood_bytes) if self.flooded else "")

    def close_theirs(self) -> None:
        """Close the program's ends here, so that their end is seen."""
        while self.theirs:
            os.close(self.theirs.pop())

    def close(self) -> None:
        """Close everything."""
        self.close_theirs()
        for reader in self._readers:
            reader.close()

    def __enter__(self) -> "Wires":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
