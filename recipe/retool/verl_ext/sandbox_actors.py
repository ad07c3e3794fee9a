"""A sandbox server on every node of a Ray cluster, all at the same loopback address.

Each agent-loop worker then calls the server of its own node, so one ``sandbox_url`` fits all of them, calls
do not cross the network, and no token is needed.
"""

from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from recipe.retool.sandbox.embedded import EmbeddedSandbox


class SandboxActor:
    """Holds the server of one node; the server ends with this actor, however that ends.

    Args:
        port: Port on the node's loopback address; 0 takes a free one.
        workers: Programs at once; None: the server's own default.
    """

    def __init__(self, port: int, workers: int | None) -> None:
        self._sandbox = EmbeddedSandbox(port=port, workers=workers)

    def start(self) -> str:
        """Start the server, or start it again when it died; its address. SandboxError when it cannot."""
        self._sandbox.start()
        self._sandbox.revive()
        return self._sandbox.url

    def stop(self) -> None:
        """Stop the server and its programs."""
        self._sandbox.stop()


@dataclass(frozen=True)
class SandboxPool:
    """The servers of a cluster.

    Attributes:
        actors: One handle for each node, by node id. Nodes that join later have none.
    """

    actors: dict[str, Any]

    def start(self) -> dict[str, str]:
        """Start what does not run; addresses by node id, each reachable from its node alone."""
        return dict(
            zip(self.actors, ray.get([one.start.remote() for one in self.actors.values()]), strict=True)
        )

    def stop(self) -> None:
        """Stop all servers and give the actors back."""
        ray.get([one.stop.remote() for one in self.actors.values()])
        for one in self.actors.values():
            ray.kill(one)


def start_pool(port: int = 8099, workers: int | None = None) -> SandboxPool:
    """Start one server on every living node of the cluster that this process is connected to.

    Keep the pool: Ray ends an actor whose last handle is gone.

    Args:
        port: The same on every node.
        workers: Programs at once on each node; None: the server's own default.

    Raises:
        ray.exceptions.RayTaskError: A server did not start; its SandboxError says why.
    """
    # No CPUs reserved: training has reserved them already, and programs run at a low priority.
    remote = ray.remote(num_cpus=0, max_restarts=0)(SandboxActor)
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    pool = SandboxPool({node: _pinned(remote, node).remote(port, workers) for node in nodes})
    pool.start()
    return pool


def _pinned(remote: Any, node: str) -> Any:
    return remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False))
