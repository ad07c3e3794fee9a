"""The filter of system calls; skipped where libseccomp or its Python package is missing."""

import asyncio

import pytest

from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.zygote.kinds import Kind
from recipe.retool.sandbox.zygote.runner import ZygoteRunner
from recipe.retool.sandbox.zygote.seccomp import compiled_filter

pytestmark = [
    pytest.mark.namespaces,
    pytest.mark.skipif(not compiled_filter()[0], reason=compiled_filter()[1]),
]


def _stdout(code: str) -> str:
    async def run() -> str:
        runner = ZygoteRunner(kinds=(Kind("bare"),))
        try:
            result = (await runner.run(RunRequest(code, timeout=20))).result
        finally:
            await runner.aclose()
        assert result.ok, result
        return result.stdout

    return asyncio.run(run())


def test_the_filter_is_in_force() -> None:
    code = "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('Seccomp:')])"
    assert _stdout(code) == "['2']\n"


@pytest.mark.parametrize("family", [16, 17, 38, 40])  # netlink, packet, crypto, virtual machine
def test_sockets_that_leave_the_namespace_are_refused(family: int) -> None:
    code = f"import socket\ntry: socket.socket({family}, 3)\nexcept OSError as error: print(error.errno)"
    assert _stdout(code) == "97\n"


def test_ordinary_programs_do_not_notice() -> None:
    code = (
        "import subprocess, threading, multiprocessing as mp\n"
        "subprocess.run(['echo', 'shell'], check=True)\n"
        "t = threading.Thread(target=print, args=('thread',)); t.start(); t.join()\n"
        "with mp.get_context('fork').Pool(2) as pool: print(pool.map(abs, [-1, 2]))"
    )
    assert _stdout(code) == "shell\nthread\n[1, 2]\n"
