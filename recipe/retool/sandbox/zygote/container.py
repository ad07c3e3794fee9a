"""The mode without namespaces as the server sees it: what it needs of a host, and whose users it takes."""

import itertools
import os
import shutil
import tempfile
from pathlib import Path

from recipe.retool.sandbox.limits import Interpreter, open_to_all, usable_cores
from recipe.retool.sandbox.zygote import landlock
from recipe.retool.sandbox.zygote.seccomp import compiled_filter
from recipe.retool.sandbox.zygote.uids import BLOCK, FIRST, LAST, Claim

# Numbers of linux/capability.h. All are among those that Docker and Kubernetes give to root by default.
_CAPABILITIES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "KILL": 5, "SETGID": 6, "SETUID": 7}
_MOST_BLOCKS = 4
_MOST_REPLICAS = 5


class Quarters:
    """Folders and users for the programs of one server.

    Args:
        kinds: Number of kinds of fork servers.
    """

    def __init__(self, kinds: int) -> None:
        self.replicas = min(_MOST_REPLICAS, max(1, usable_cores() // 3))
        most = (LAST + 1 - FIRST) // BLOCK // (kinds * self.replicas)
        self._blocks = max(1, min(_MOST_BLOCKS, most))
        self._root = tempfile.mkdtemp(prefix="retool-sandbox-")
        os.chmod(self._root, 0o711)  # programs must get through to their own folder, but not list the others
        self._numbers = itertools.count(1)

    def claim(self) -> Claim:
        """Users for one fork server."""
        return Claim(self._blocks)

    def folder(self) -> str:
        """Path for the folder of one fork server."""
        return f"{self._root}/{next(self._numbers)}"

    def close(self) -> None:
        """Remove what the fork servers have left."""
        shutil.rmtree(self._root, ignore_errors=True)


def missing(interpreter: Interpreter) -> list[tuple[str, str]]:
    """What this host lacks for the mode, each with the reason; empty when it can be tried."""
    found = []
    if os.geteuid():
        found.append(("root", "the server has to be root, to give each program a user of its own"))
    elif lacking := [name for name, number in _CAPABILITIES.items() if not _effective() >> number & 1]:
        found.append(("capabilities", f"root has no {', '.join(lacking)} here"))
    try:
        landlock.version()
    except OSError as error:
        found.append(
            ("landlock", f"{error.strerror} (Linux 5.13, and a container runtime that lets it pass)")
        )
    if why := compiled_filter(alone=True)[1]:
        found.append(("seccomp", why))
    if not interpreter.open_to_all():
        found.append(("interpreter", f"{interpreter.executable} cannot be read by other users: see --python"))
    if not open_to_all(tempfile.gettempdir(), enter_only=True):
        found.append(
            ("temporary folder", f"{tempfile.gettempdir()} cannot be entered by other users: see TMPDIR")
        )
    return found


def _effective() -> int:
    """Capabilities of this process as a bit mask."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
