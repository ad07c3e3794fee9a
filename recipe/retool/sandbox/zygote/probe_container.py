"""Which walls stand on this host without namespaces: found out by running a program between them."""

import asyncio
import json
import sys
from typing import Any

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.limits import Interpreter
from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.zygote.container import missing
from recipe.retool.sandbox.zygote.kinds import Kind
from recipe.retool.sandbox.zygote.probe import Isolation
from recipe.retool.sandbox.zygote.runner import ZygoteRunner
from recipe.retool.sandbox.zygote.uids import FIRST, LAST

# What this mode does not have, wherever it runs.
_NEVER = (
    ("namespaces", "other processes, file names and the host's name can be seen, not touched or read"),
    ("disk limit", "only the size of each file is limited"),
)
_QUESTION = """
import ctypes, errno, json, os, socket
libc = ctypes.CDLL(None)
def refused(action):
    try:
        action()
    except OSError as error:
        return error.errno == errno.EACCES
    return False
sets = (ctypes.c_uint32 * 6)(*[1] * 6)
libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), sets)
print(json.dumps({
    "own user": len(set(os.getresuid() + os.getresgid())) == 1 and not os.getgroups() and os.getuid(),
    "landlock": refused(lambda: open("/proc/self/status")) and refused(lambda: os.listdir("/")),
    "no sockets": refused(socket.socket),
    "seccomp": libc.prctl(21, 0, 0, 0, 0) == 2,
    "no_new_privs": libc.prctl(39, 0, 0, 0, 0) == 1,
    "no capabilities": not any(sets),
}))
"""


def probe_container(python: str = sys.executable) -> Isolation:
    """Start a fork server without namespaces and look at its walls from inside. Never raises for a host."""
    if not sys.platform.startswith("linux"):
        return _nothing(("container", f"it is made for Linux, and this is {sys.platform}"))
    try:
        lacking = missing(Interpreter.probe(python))
        return _nothing(*lacking) if lacking else asyncio.run(_probe(python))
    except (SandboxError, OSError) as error:
        return _nothing(("container", str(error)))


async def _probe(python: str) -> Isolation:
    runner = ZygoteRunner(python=python, kinds=(Kind("probe"),), container=True)
    try:
        result = (await runner.run(RunRequest(_QUESTION, timeout=20.0))).result
    finally:
        await runner.aclose()
    if not result.ok:
        return _nothing(("container", result.message or result.stderr.strip()[-200:] or result.status.value))
    return _judge(json.loads(result.stdout), runner.no_cgroup)


def _judge(seen: dict[str, Any], no_cgroup: str) -> Isolation:
    seen["own user"] = FIRST <= seen["own user"] <= LAST
    if weak := [(name, "not in force") for name, yes in seen.items() if not yes]:
        return _nothing(*weak)
    cgroup = ("cgroup", no_cgroup)
    active = ("container", *seen, *(() if no_cgroup else ("cgroup",)))
    return Isolation(active, (*((cgroup,) if no_cgroup else ()), *_NEVER), works=True)


def _nothing(*why: tuple[str, str]) -> Isolation:
    return Isolation((), why, works=False)
