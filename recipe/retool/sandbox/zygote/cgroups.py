"""A control group for all programs of a server: their memory and their number together, out of others' way.

Resource limits see one process; a program may have many. A group for each program would be stricter, but to
move a process into a group takes the kernel ten milliseconds and more, one move at a time: too much for each.
Version 1 wants root; version 2 wants root or a group that was delegated to us and in which nobody else is.
The group is made below the server's own, so that what bounds the server bounds it too.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

_PREFIX = "retool-sandbox-"
_CONTROLLERS = ("memory", "pids")
_PROCESSES = 16384


class Group:
    """The group; fork servers enter it, and programs are born in it.

    Args:
        roots: Folder of the server's own group for each controller that can be used; see find_cgroups.
        memory_mb: Most memory of all programs together in MiB.
    """

    def __init__(self, roots: Mapping[str, Path], memory_mb: int) -> None:
        self._folders = {name: root / f"{_PREFIX}{os.getpid()}" for name, root in roots.items()}
        self.entries: list[int] = []
        for folder in sorted(set(self._folders.values())):
            _remove_stale(folder.parent)
            folder.mkdir(exist_ok=True)
            self.entries.append(os.open(folder / "cgroup.procs", os.O_WRONLY))
        for name, text in (
            ("memory/memory.max", f"{memory_mb << 20}"),
            ("memory/memory.limit_in_bytes", f"{memory_mb << 20}"),
            ("memory/memory.swap.max", "0"),
            ("pids/pids.max", str(_PROCESSES)),
        ):
            controller, _, file = name.partition("/")
            path = self._folders.get(controller, Path()) / file
            if path.exists():
                path.write_text(text)
        self._kills = self._count_kills()

    def killed(self) -> bool:
        """True when the kernel has killed one of the programs for lack of memory since the last look."""
        before, self._kills = self._kills, self._count_kills()
        return self._kills > before

    def _count_kills(self) -> int:
        for name in ("memory.events", "memory.oom_control"):
            with suppress(OSError, KeyError):
                match = re.search(
                    r"^oom_kill (\d+)", (self._folders["memory"] / name).read_text(), re.MULTILINE
                )
                return int(match[1]) if match else 0
        return 0

    def close(self) -> None:
        """Remove the group, once nobody is in it."""
        while self.entries:
            os.close(self.entries.pop())
        for folder in set(self._folders.values()):
            with suppress(OSError):
                folder.rmdir()


def programs_memory_mb() -> int:
    """Memory for all programs together: three quarters of what this server may use."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total * 3 // 4 >> 20


def find_cgroups() -> tuple[dict[str, Path], str]:
    """(folders for :class:`Group`, "") or what there is, and why the rest cannot be used."""
    found: dict[str, Path] = {}
    reasons = []
    for name in _CONTROLLERS:
        try:
            found[name] = _usable(name)
        except OSError as error:
            reasons.append(f"{name}: {error.strerror or error}")
    return found, "; ".join(reasons)


def _usable(controller: str) -> Path:
    """Folder below which groups with a controller can be made; OSError when that is not so."""
    for folder, is_v2 in _own_groups(controller):
        trial = folder / f"{_PREFIX}{os.getpid()}-trial"
        trial.mkdir()
        try:
            if is_v2:
                _pass_on(folder)
            os.close(os.open(trial / "cgroup.procs", os.O_WRONLY))
            if not any((trial / f"{controller}.{name}").exists() for name in ("max", "limit_in_bytes")):
                raise FileNotFoundError(2, "this controller is not handed down to us")
        finally:
            trial.rmdir()
        return folder
    raise FileNotFoundError(2, "no such controller is mounted")


def _own_groups(controller: str) -> Iterator[tuple[Path, bool]]:
    """This process's own group in each hierarchy that has the controller, and whether it is version 2."""
    own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        root, place = left.split()[3:5]
        kind, _, options = right.split()[:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        for _, names, path in own:
            matches = controller in names.split(",") if kind == "cgroup" else names == ""
            if not matches or (kind == "cgroup" and controller not in options.split(",")):
                continue
            folder = Path(place) / os.path.relpath(path, root) if path.startswith(root) else Path(place)
            listed = folder / "cgroup.controllers"
            if kind == "cgroup" or controller in listed.read_text().split():
                yield folder, kind == "cgroup2"


def _pass_on(folder: Path) -> None:
    """Version 2: let the groups below have the controllers."""
    file = folder / "cgroup.subtree_control"
    for name in _CONTROLLERS if file.exists() else ():
        with suppress(OSError):  # processes in it, or not there: its absence below is what is judged
            file.write_text(f"+{name}")


def _remove_stale(folder: Path) -> None:
    """Groups of servers that were killed."""
    for left in folder.glob(f"{_PREFIX}*"):
        pid = left.name.removeprefix(_PREFIX)
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            with suppress(OSError):
                left.rmdir()
