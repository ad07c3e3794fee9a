"""Slots that the processes of a machine share: never too many, and none lost with whoever dies."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.node_slots import NodeSlots

_HOLD = """
import sys, time
from pathlib import Path
from recipe.retool.sandbox.node_slots import NodeSlots
slots = NodeSlots(int(sys.argv[2]), "test", Path(sys.argv[1]))
print([slots.take() for _ in range(int(sys.argv[3]))].count(None), flush=True)
time.sleep(600)
"""
# Each holder writes +1, then -1, to one file: the running sum is the number of slots in use.
_COMPETE = """
import asyncio, os, random, sys
from pathlib import Path
from recipe.retool.sandbox.node_slots import NodeSlots
folder, count, calls = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
journal = os.open(folder / "journal", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
async def one(slots, queue):
    slot = await slots.acquire(queue)
    os.write(journal, b"+%d\\n" % os.getpid())
    await asyncio.sleep(random.uniform(0, 0.004))
    os.write(journal, b"-%d\\n" % os.getpid())
    slots.release(slot)
async def main():
    slots, queue = NodeSlots(count, "test", folder), asyncio.Lock()
    await asyncio.gather(*(one(slots, queue) for _ in range(calls)))
asyncio.run(main())
"""


@contextmanager
def _process(*words: object) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", *map(str, words)], stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_killed_process_gives_its_slots_back(tmp_path: Path) -> None:
    slots = NodeSlots(3, "test", tmp_path)
    with _process(_HOLD, tmp_path, 3, 2) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "0\n"
        mine = slots.take()
        assert mine is not None
        assert slots.take() is None
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        taken = [slots.take(), slots.take()]
        assert None not in taken
        assert slots.take() is None
    for slot in (mine, *taken):
        assert slot is not None
        slots.release(slot)


def test_processes_never_hold_more_than_there_are_and_all_get_their_turn(tmp_path: Path) -> None:
    with (
        _process(_COMPETE, tmp_path, 3, 60) as one,
        _process(_COMPETE, tmp_path, 3, 60) as two,
        _process(_COMPETE, tmp_path, 3, 60) as three,
    ):
        assert [process.wait(60) for process in (one, two, three)] == [0, 0, 0]
    lines = (tmp_path / "journal").read_text().splitlines()
    held, most = 0, 0
    for line in lines:
        held += 1 if line[0] == "+" else -1
        most = max(most, held)
    assert (len(lines), held, most) == (360, 0, 3)


def test_a_forked_child_holds_nothing_of_its_parents(tmp_path: Path) -> None:
    slots = NodeSlots(2, "test", tmp_path)
    first, second = slots.take(), slots.take()
    assert first is not None
    assert second is not None
    child = os.fork()
    if child == 0:  # the child sees them taken, and neither its release nor its end frees them
        slots.release(first)
        os._exit(0 if slots.take() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert slots.take() is None
    child = os.fork()
    if child == 0:
        time.sleep(600)
    try:
        slots.release(first)
        with _process(_HOLD, tmp_path, 2, 1) as other:  # free although the child still has the file open
            assert other.stdout is not None
            assert other.stdout.readline() == "0\n"
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        slots.release(second)


def test_objects_of_one_process_share_the_slots(tmp_path: Path) -> None:
    one, two = NodeSlots(1, "test", tmp_path), NodeSlots(1, "test", tmp_path)
    slot = one.take()
    assert slot == 0
    assert two.take() is None
    assert NodeSlots(1, "other group", tmp_path).take() == 0
    one.release(slot)
    assert two.take() == 0
    two.release(0)


def test_a_caller_that_leaves_the_queue_takes_nothing_with_it(tmp_path: Path) -> None:
    async def scene() -> None:
        slots, queue = NodeSlots(1, "test", tmp_path), asyncio.Lock()
        slot = await slots.acquire(queue)
        waiting = [asyncio.create_task(slots.acquire(queue)) for _ in range(20)]
        for task in random.sample(waiting, 19):
            await asyncio.sleep(0.002)
            task.cancel()
        slots.release(slot)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(isinstance(result, int) for result in results) == 1
        slots.release(0)

    asyncio.run(scene())


def test_waiting_does_not_block_the_loop(tmp_path: Path) -> None:
    async def scene() -> None:
        slots, queue = NodeSlots(1, "test", tmp_path), asyncio.Lock()
        assert slots.take() == 0
        waiting = [asyncio.create_task(slots.acquire(queue)) for _ in range(50)]
        gaps = []
        for _ in range(50):
            before = time.perf_counter()
            await asyncio.sleep(0)
            gaps.append(time.perf_counter() - before)
            await asyncio.sleep(0.005)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        slots.release(0)
        assert sorted(gaps)[25] < 0.005

    asyncio.run(scene())


@pytest.mark.parametrize("make", ["link", "open", "file"])
def test_a_folder_that_others_may_change_is_refused(tmp_path: Path, make: str) -> None:
    folder = tmp_path / "slots"
    if make == "link":
        folder.symlink_to(tmp_path)
    elif make == "open":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        folder.write_text("")
    with pytest.raises(ConfigError, match="slots"):
        NodeSlots(1, "test", folder)


def test_a_count_that_cannot_work_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="per node"):
        NodeSlots(-1, "test", tmp_path)
