"""Reading what a program prints while it runs, with a bound on what is kept."""

import asyncio
import os
from collections.abc import Callable

_CHUNK = 65536
_MOST_PIPE = 1 << 20  # /proc/sys/fs/pipe-max-size, where nobody has raised it


class CappedOutput:
    """Keeps the first and the last half of a byte limit, and counts what lay between.

    Args:
        limit: Most bytes kept; more than that gives head, a mark and tail.
    """

    def __init__(self, limit: int) -> None:
        self._half = max(limit // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self.total += len(chunk)
        room = self._half - len(self._head)
        self._head += chunk[:room]
        self._tail += chunk[room:] if room > 0 else chunk
        if len(self._tail) > 2 * self._half + _CHUNK:  # trimming on every chunk would copy too often
            del self._tail[: -self._half]

    def text(self) -> str:
        """What was kept, decoded with replacement; a mark says how many bytes were left out."""
        tail = bytes(self._tail[-self._half :])
        left_out = self.total - len(self._head) - len(tail)
        if left_out <= 0:
            return (bytes(self._head) + tail).decode("utf-8", "replace")
        head_text, tail_text = self._head.decode("utf-8", "replace"), tail.decode("utf-8", "replace")
        return f"{head_text}\n[... {left_out} bytes left out ...]\n{tail_text}"


class PipeReader:
    """Feeds a pipe into a :class:`CappedOutput` from the event loop until end of file.

    Args:
        fd: Read end of the pipe; owned by this object from now on.
        output: Where the bytes go.
        flood_at: Number of bytes from which ``on_flood`` is called (once or more).
        on_flood: Called when a program prints without end.
    """

    def __init__(self, fd: int, output: CappedOutput, flood_at: int, on_flood: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._output = output
        self._flood_at = flood_at
        self._on_flood = on_flood
        self.finished: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    def drain(self) -> None:
        """Read what is there, to the end of the file when all that could write are dead."""
        while self._fd >= 0 and self._read():
            pass

    def switch(self, output: CappedOutput) -> None:
        """Read what a pipe can hold by now, and feed what comes later into another output.

        Never more than a full pipe: who writes may be alive, and never stop.
        """
        for _ in range(_MOST_PIPE // _CHUNK + 1):
            if self._fd < 0 or not self._read():
                break
        self._output = output

    def _read(self) -> bool:
        """Take one chunk; False when there is none now."""
        try:
            chunk = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            chunk = b""
        if not chunk:
            self.close()
            return False
        self._output.feed(chunk)
        if self._output.total > self._flood_at:
            self._on_flood()
        return True

    def close(self) -> None:
        """Stop reading and close the pipe; a second call does nothing."""
        if self._fd < 0:
            return
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self._fd = -1
        if not self.finished.done():
            self.finished.set_result(None)
