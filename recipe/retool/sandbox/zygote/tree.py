"""The read-only file tree in which programs live: system libraries, the interpreter, a few devices."""

import os
from collections.abc import Iterable
from pathlib import Path

from recipe.retool.sandbox.zygote import linux

SCRATCH = "/tmp"  # the one writable place of a program
# Named as tempfile would name it, for texts to the model drop such folders: no path tells the runner.
FOLDER = f"{SCRATCH}/tmp_program"
CODE = f"{FOLDER}/main.py"
WORK = f"{FOLDER}/work"
HIDDEN = "/.prefix"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_MOUNT_POINTS = ("/mnt", "/media", "/srv", "/sys", "/opt", "/run")
_NEVER = ("/", "/etc", "/home", "/proc", "/root", "/tmp", "/var")
_USERS = f"root:x:0:0::/:/bin/false\nnobody:x:65534:65534::{WORK}:/bin/false\n"
_GROUPS = "root:x:0:\nnogroup:x:65534:\n"
_LOCKED = linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV


def visible(prefixes: Iterable[str]) -> list[str]:
    """The folders of an interpreter that have to be shown beside the system's, outermost first."""
    shown: list[str] = []
    for folder in sorted({os.path.abspath(prefix) for prefix in prefixes}, key=len):
        if folder in _NEVER or not os.path.isdir(folder):
            continue
        if not any(below(folder, outer) for outer in (*_SYSTEM, *shown)):
            shown.append(folder)
    return shown


def below(path: str, folder: str) -> bool:
    """True when ``path`` is ``folder`` or lies in it."""
    return os.path.commonpath((path, folder)) == folder


def build(prefixes: list[str]) -> str:
    """Make the tree on a mount point that nothing else needs; returns where. Needs an own mount namespace."""
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    root = _mount_point(prefixes)
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=1m,mode=0755")
    for number, folder in enumerate(prefixes):
        _bind(folder, root + (f"{HIDDEN}/{number}" if below(folder, SCRATCH) else folder))
    for name in _SYSTEM:
        if os.path.islink(name):
            os.symlink(os.readlink(name), root + name)
        elif os.path.isdir(name):
            _bind(name, root + name)
    for name in (*_ETC, *_DEVICES):
        if os.path.exists(name):
            _bind(name, root + name, linux.MS_RDONLY | linux.MS_NOSUID if name in _DEVICES else _LOCKED)
    _small_things(root, prefixes)
    return root


def prefix_links(prefixes: list[str]) -> list[tuple[str, str]]:
    """Place and target of links to interpreters that are hidden, for they live below the scratch folder."""
    return [
        (folder, f"{HIDDEN}/{number}") for number, folder in enumerate(prefixes) if below(folder, SCRATCH)
    ]


def _mount_point(prefixes: list[str]) -> str:
    for folder in _MOUNT_POINTS:
        if os.path.isdir(folder) and not any(below(prefix, folder) for prefix in prefixes):
            return folder
    raise FileNotFoundError(f"none of {', '.join(_MOUNT_POINTS)} can be mounted on")


def _bind(source: str, target: str, flags: int = _LOCKED) -> None:
    # A link is followed here, on the host: what it points to may be out of sight later.
    real = os.path.realpath(source)
    if os.path.isdir(real):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
    linux.mount(real, target, None, linux.MS_BIND | linux.MS_REC)
    linux.lock_mount(target, flags, recursive=True)


def _small_things(root: str, prefixes: list[str]) -> None:
    for name in ("/proc", SCRATCH, "/etc"):
        os.makedirs(root + name, exist_ok=True)
    for name, text in (("/etc/passwd", _USERS), ("/etc/group", _GROUPS)):
        Path(root + name).write_text(text, encoding="utf-8")
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, f"{root}/dev/{name}")
    os.symlink(f"{SCRATCH}/shm", f"{root}/dev/shm")
    for place, target in prefix_links(prefixes):
        os.makedirs(os.path.dirname(root + place), exist_ok=True)
        os.symlink(target, root + place)
