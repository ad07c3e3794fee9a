"""The Ray cluster that a run would join, and whether it is alive.

``ray.init()`` joins a cluster that is there without being asked to: the one that RAY_ADDRESS names, or the
last one that ``ray start`` started on this host.
"""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil

from recipe.retool.device.checks import Check, error, ok, warning

VARIABLE = "RAY_ADDRESS"
AUTO, LOCAL = "auto", "local"
_PORT = 6379
_CONNECT_SECONDS = 5.0
_STATUS_SECONDS = 60.0
_SERVER = "gcs_server"  # Ray's head process
_LEAVE = f"`ray stop` ends what is left of a cluster; or unset {VARIABLE}, and the run starts Ray itself"
# Newer Ray asks for a token as soon as one lies in the home of who starts the head, and only a driver that
# finds the cluster by itself then sends it.
_TOKEN = (
    "RAY_AUTH_MODE=token for the run and on each node, with the head's ~/.ray/auth_token there; or "
    "RAY_AUTH_MODE=disabled on all of them, on a trusted network"
)


def cluster_address(env: Mapping[str, str] = os.environ, wish: str | None = None) -> str | None:
    """The address of the cluster that ``ray.init`` joins; None when it starts one.

    Args:
        env: Environment of the driver.
        wish: ``ray_kwargs.ray_init.address`` of the config.
    """
    address = wish if wish not in (None, "", AUTO) else env.get(VARIABLE, "").strip() or wish
    if address not in (None, "", AUTO):
        return None if address == LOCAL else address
    folder = Path(env.get("RAY_TMPDIR") or tempfile.gettempdir())
    file = folder / "ray" / "ray_current_cluster"
    try:
        started = file.read_text().strip()
    except OSError:
        started = ""
    return started or (AUTO if address == AUTO else None)


def why_silent(address: str, seconds: float = _CONNECT_SECONDS) -> str:
    """Why nobody answers at a cluster's address; empty when somebody does.

    It takes Ray itself most of a minute to give up on an address.
    """
    if address == AUTO:
        there = any(process.info["name"] == _SERVER for process in psutil.process_iter(["name"]))
        return "" if there else "no Ray runs on this host"
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return "not an address: HOST:PORT"
    try:
        socket.create_connection((host.strip("[]"), int(port)), seconds).close()
    except (OSError, OverflowError) as problem:
        return str(problem) or type(problem).__name__
    return ""


def check_ray(env: Mapping[str, str] = os.environ) -> Check:
    """The cluster that a run would join answers; without one, nobody listens on Ray's port."""
    address = cluster_address(env)
    if address is None:
        return check_ray_port()
    silent = why_silent(address) or _status_problem(address, env)
    if silent:
        fix = _TOKEN if "Authentication" in silent else _LEAVE
        return error("ray", f"a run would join {address}: {silent}", fix)
    return ok("ray", f"a run joins the cluster at {address}")


def check_ray_port(port: int = _PORT) -> Check:
    """Nobody listens where a Ray cluster would."""
    if why_silent(f"127.0.0.1:{port}", 1.0):
        return ok("ray", f"port {port} is free: the run starts Ray itself")
    return warning(
        "ray",
        f"something listens on port {port}",
        f"if it is your Ray cluster, set {VARIABLE}=127.0.0.1:{port} to join it; else `ray stop`",
    )


def _status_problem(address: str, env: Mapping[str, str]) -> str:
    """What ``ray status`` says against a cluster: another program, another version of Ray, a dead head."""
    if "://" in address:  # a Ray client's server, which `ray status` does not speak to
        return ""
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", f"--address={address}"]
    try:
        done = subprocess.run(
            command,
            env=dict(env),
            capture_output=True,
            text=True,
            timeout=_STATUS_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        return f"`ray status` got no answer in {_STATUS_SECONDS:g} s"
    if done.returncode == 0:
        return ""
    said = (done.stderr or done.stdout).strip().splitlines()
    told = [line for line in said if "Authentication" in line] or said
    return (told or ["`ray status` failed"])[-1][:300]
