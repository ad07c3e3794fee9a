"""The private folder of one run: code file, working directory, files in and out."""

import contextlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from recipe.retool.errors import SandboxError

FETCH_LIMIT = 16 * 1024 * 1024


class WorkDir:
    """``<root>/tmpXXXXXXXX``: ``main.py`` and ``stdin`` beside ``work/``, the working directory.

    Args:
        root: Folder in which to make it.
        uid: Owner of everything in it; -1 keeps the present user.
        gid: Group of everything in it.
    """

    def __init__(self, root: str, uid: int, gid: int) -> None:
        self.path = Path(tempfile.mkdtemp(dir=root, prefix="tmp"))
        self.cwd = self.path / "work"
        self.code = self.path / "main.py"
        self.cwd.mkdir(mode=0o700)
        self._owner = (uid, gid)

    def fill(self, code: str, files: Mapping[str, bytes]) -> None:
        """Write the program and its files; SandboxError for a path that leaves the working directory."""
        self.code.write_bytes(code.encode("utf-8", "replace"))
        for name, content in files.items():
            target = self.cwd / confined(name)
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
            except OSError as error:
                raise SandboxError(f"files: cannot write {name!r}: {error.strerror}") from error
        if self._owner[0] >= 0:
            for item in [self.path, *self.path.rglob("*")]:
                os.chown(item, *self._owner)

    def open_stdin(self, text: str | None) -> int:
        """Descriptor for standard input: the text, or an empty one."""
        if text is None:
            return os.open(os.devnull, os.O_RDONLY)
        path = self.path / "stdin"
        path.write_bytes(text.encode("utf-8", "replace"))
        return os.open(path, os.O_RDONLY)

    def fetch(self, names: Iterable[str]) -> dict[str, bytes]:
        """Regular files of at most 16 MiB below the working directory; others are left out."""
        found = {}
        for name in names:
            with contextlib.suppress(OSError):
                content = self._read(name)
                if content is not None:
                    found[name] = content
        return found

    def _read(self, name: str) -> bytes | None:
        # The program may have left symbolic links and pipes where a file was expected.
        real = os.path.realpath(self.cwd / confined(name))
        if not real.startswith(os.path.realpath(self.cwd) + os.sep):
            return None
        fd = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        return read_regular(fd)

    def remove(self) -> None:
        """Delete the folder, whatever the program made of it."""
        try:
            shutil.rmtree(self.path)
        except (OSError, RecursionError):  # unreadable folders, or deeper than Python can walk
            for command in (["chmod", "-R", "u+rwx"], ["rm", "-rf"]):
                subprocess.run([*command, "--", str(self.path)], capture_output=True, check=False)


def read_regular(fd: int) -> bytes | None:
    """Read and close; None when it is no regular file of at most ``FETCH_LIMIT`` bytes."""
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > FETCH_LIMIT:
            return None
        return file.read()


def confined(name: str) -> PurePosixPath:
    """The path, when it is relative and stays below its folder; SandboxError otherwise."""
    path = PurePosixPath(name)
    if not name or "\0" in name or path.is_absolute() or ".." in path.parts or not path.parts:
        raise SandboxError(f"files: {name!r} must be a relative path inside the working directory")
    return path
