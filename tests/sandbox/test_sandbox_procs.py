"""Dead children that nobody waits for."""

import asyncio
import os
import subprocess
import sys
import time

import psutil
import pytest

from recipe.retool.sandbox.procs import reap_forgotten


@pytest.mark.skipif(sys.platform != "linux", reason="children are listed on Linux only")
def test_forgotten_children_are_reaped_and_live_ones_are_not() -> None:
    async def scene() -> None:
        dead = os.fork()
        if dead == 0:
            os._exit(3)
        with subprocess.Popen(["sleep", "60"]) as live:
            task = asyncio.create_task(reap_forgotten(0.05))
            give_up = time.monotonic() + 5
            while psutil.pid_exists(dead) and time.monotonic() < give_up:
                await asyncio.sleep(0.02)
            task.cancel()
            assert not psutil.pid_exists(dead)
            assert live.poll() is None
            live.kill()

    asyncio.run(scene())
