"""Which walls stand on this host: found out by running a program between them, not by asking the system."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from typing import Any

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.zygote import landlock
from recipe.retool.sandbox.zygote.kinds import Kind
from recipe.retool.sandbox.zygote.runner import ZygoteRunner

_KINDS = ("user", "mnt", "pid", "net", "ipc", "uts")
_NO_PROC = "this host does not let us mount /proc (parts of its own are covered)"
_QUESTION = """
import json, os
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
try:
    open("/x", "w")
    wall = ""
except OSError as error:
    wall = error.strerror
print(json.dumps({
    "namespaces": {kind: os.readlink("/proc/self/ns/" + kind) for kind in os.listdir("/proc/self/ns")},
    "no_new_privs": status["NoNewPrivs"].strip() == "1",
    "seccomp": status["Seccomp"].strip() == "2",
    "no capabilities": int(status["CapEff"], 16) == 0,
    "unprivileged user": os.getuid() != 0,
    "read-only root": wall == "Read-only file system",
    "no host files": not os.path.exists("/var"),
}))
"""


@dataclass(frozen=True)
class Isolation:
    """What keeps programs apart from the host and from each other.

    Attributes:
        active: Mechanisms that were seen to work.
        missing: Mechanisms that do not, each with the reason.
        works: True when the fork server can be used at all.
    """

    active: tuple[str, ...]
    missing: tuple[tuple[str, str], ...]
    works: bool

    def names(self) -> tuple[str, ...]:
        """The active mechanisms in one word each: user, mount, pid, net, ipc, uts, seccomp ..."""
        return tuple(name.removesuffix(" namespace").replace("mnt", "mount") for name in self.active)

    def text(self) -> str:
        """One line for a log."""
        missing = "; ".join(f"{name}: {why}" for name, why in self.missing)
        return f"active: {', '.join(self.active) or 'none'}; missing: {missing or 'none'}"


def probe_isolation(python: str = sys.executable) -> Isolation:
    """Start a fork server and look at its walls from inside. Never raises for a host that cannot do it."""
    if not sys.platform.startswith("linux"):
        return _nothing(f"namespaces are Linux's, and this is {sys.platform}")
    return asyncio.run(_probe(python))


async def _probe(python: str) -> Isolation:
    runner = ZygoteRunner(python=python, kinds=(Kind("probe"),))
    try:
        result = (await runner.run(RunRequest(_QUESTION, timeout=20.0))).result
    except (SandboxError, OSError) as error:
        return _nothing(str(error))
    finally:
        await runner.aclose()
    if result.message:
        return _nothing(result.message)
    if not result.ok:
        if "/proc/self" in result.stderr:
            return Isolation(("namespaces",), (("/proc", _NO_PROC),), works=True)
        return _nothing(result.stderr.strip()[-200:] or result.status.value)
    # A program cannot see these two, but with a rule or a group that cannot be entered it would not run.
    no_landlock = _no_landlock()
    seen = {**json.loads(result.stdout), "landlock": not no_landlock, "cgroup": not runner.no_cgroup}
    return _judge(seen, {"seccomp": runner.no_filter, "cgroup": runner.no_cgroup, "landlock": no_landlock})


def _no_landlock() -> str:
    try:
        landlock.version()
    except OSError as error:
        return str(error)
    return ""


def _judge(seen: dict[str, Any], reasons: dict[str, str]) -> Isolation:
    inside = seen.pop("namespaces")
    own = {kind: inside[kind] != os.readlink(f"/proc/self/ns/{kind}") for kind in _KINDS}
    found = {**{f"{kind} namespace": yes for kind, yes in own.items()}, **seen}
    missing = [(name, reasons.get(name) or "not in force") for name, yes in found.items() if not yes]
    return Isolation(tuple(name for name, yes in found.items() if yes), tuple(missing), True)


def _nothing(why: str) -> Isolation:
    return Isolation((), (("namespaces", why),), works=False)
