"""A sandbox on every node of a real Ray cluster."""

import os
import time
from collections.abc import Iterator

import psutil
import pytest

from recipe.retool.sandbox.client import SyncSandboxClient

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[str]]:
    """Two nodes on this machine."""
    pytest.importorskip("ray")
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(_path())}})
    yield [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    ray.shutdown()
    cluster.shutdown()


def _path() -> list[str]:
    import recipe.retool

    return [os.path.dirname(os.path.dirname(os.path.dirname(recipe.retool.__file__ or "")))]


def test_every_node_has_a_server_that_comes_back_and_ends(nodes: list[str]) -> None:
    from recipe.retool.verl_ext.sandbox_actors import start_pool

    pool = start_pool(port=0, workers=1)  # two nodes of one machine cannot share a port
    urls = pool.start()
    assert sorted(urls) == sorted(nodes)
    assert len(set(urls.values())) == 2
    assert [SyncSandboxClient(url).run("print(6 * 7)").stdout for url in urls.values()] == ["42\n"] * 2

    victim = _listener(next(iter(urls.values())))
    victim.kill()
    while victim.status() != psutil.STATUS_ZOMBIE:  # the actor has not looked yet
        time.sleep(0.05)
    assert pool.start() == urls
    assert [SyncSandboxClient(url).run("print(6 * 7)").stdout for url in urls.values()] == ["42\n"] * 2

    servers = [_listener(url) for url in urls.values()]
    pool.stop()
    assert not psutil.wait_procs(servers, timeout=10)[1]


def test_a_killed_actor_takes_its_server_along(nodes: list[str]) -> None:
    import ray

    from recipe.retool.verl_ext.sandbox_actors import start_pool

    pool = start_pool(port=0, workers=1)
    servers = [_listener(url) for url in pool.start().values()]
    for actor in pool.actors.values():
        ray.kill(actor)
    started = time.monotonic()
    assert not psutil.wait_procs(servers, timeout=10)[1]
    assert time.monotonic() - started < 8


def _listener(url: str) -> psutil.Process:
    port = int(url.rpartition(":")[2])
    for connection in psutil.net_connections("tcp"):
        if connection.status == "LISTEN" and connection.laddr.port == port and connection.pid:
            return psutil.Process(connection.pid)
    raise AssertionError(f"nobody listens on {port}")
