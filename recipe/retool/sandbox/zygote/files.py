"""What goes into a run and what comes out of it, without a file on the server's own disk."""

import base64
import contextlib
import json
import os
from collections.abc import Iterable

from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.workdir import confined, read_regular


def payload_fd(request: RunRequest) -> int:
    """Descriptor of the program and its files, as ``messages.Job`` describes them."""
    files = {name: base64.b64encode(content).decode("ascii") for name, content in request.files.items()}
    code = request.code.encode("utf-8", "replace").decode("utf-8")
    return _memory_file("payload", json.dumps({"code": code, "files": files}).encode())


def text_fd(text: str) -> int:
    """Descriptor for standard input."""
    return _memory_file("stdin", text.encode("utf-8", "replace"))


def _memory_file(name: str, content: bytes) -> int:
    fd = os.memfd_create(name)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(content)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def fetch(folder: int, names: Iterable[str]) -> dict[str, bytes]:
    """Regular files of at most 16 MiB below an open folder; others are left out."""
    found = {}
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            content = _read(folder, confined(name).parts)
            if content is not None:
                found[name] = content
    return found


def _read(folder: int, parts: tuple[str, ...]) -> bytes | None:
    # The program may have left links and pipes where a folder or a file was expected.
    with contextlib.ExitStack() as opened:
        for part in parts[:-1]:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
            folder = os.open(part, flags, dir_fd=folder)
            opened.callback(os.close, folder)
        fd = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        return read_regular(fd)
