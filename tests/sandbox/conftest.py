"""Real sandbox servers for all tests of this folder, and the mark of tests that need namespaces."""

import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.limits import Interpreter, Limits
from recipe.retool.sandbox.runner import SubprocessRunner
from recipe.retool.sandbox.zygote.choice import IsolationMode
from recipe.retool.sandbox.zygote.kinds import Kind
from recipe.retool.sandbox.zygote.probe import probe_isolation
from recipe.retool.sandbox.zygote.probe_container import probe_container
from recipe.retool.sandbox.zygote.runner import ZygoteRunner


def pytest_configure(config: pytest.Config) -> None:
    """Make the marks known."""
    config.addinivalue_line("markers", "namespaces: needs a host on which the fork server works")
    config.addinivalue_line("markers", "container: needs root, landlock and a Python that all may read")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this host cannot do, with the reason."""
    either = getattr(getattr(item, "callspec", None), "params", {}).get("either", "")
    for mark in [either] if either else ["namespaces", "container"]:
        if (either or item.get_closest_marker(mark) is not None) and (why := _why_not(mark)):
            pytest.skip(why)


@functools.cache
def _why_not(mark: str) -> str:
    found = probe_container(_open_python()) if mark == "container" else probe_isolation()
    return "" if found.works else found.text()


@functools.cache
def _open_python() -> str:
    found = [path for path in ("/usr/bin/python3", "/usr/local/bin/python3") if os.path.exists(path)]
    return next(
        (path for path in [sys.executable, *found] if Interpreter.probe(path).open_to_all()), "python3"
    )


@pytest.fixture(scope="session")
def open_python() -> str:
    """A Python that every user can read."""
    return _open_python()


@pytest.fixture(params=["namespaces", "container"])
def either(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Arguments of a ZygoteRunner, for what holds with namespaces and without."""
    return {"container": True, "python": _open_python()} if request.param == "container" else {}


@pytest.fixture(params=["namespaces", "container", "process"])
def new_runner(request: pytest.FixtureRequest) -> Callable[[], SubprocessRunner | ZygoteRunner]:
    """A maker of runners of each kind of isolation, for the event loop that is to use them."""
    limits, kinds, python = Limits(flood_bytes=4 << 20), (Kind("test"),), _open_python()
    if request.param == "process":
        return lambda: SubprocessRunner(limits, python)
    if why := _why_not(request.param):
        pytest.skip(why)
    if request.param == "container":
        return lambda: ZygoteRunner(limits, python, kinds, container=True)
    return lambda: ZygoteRunner(limits, kinds=kinds)


_SECRET = "canary-5f0c2a"


@pytest.fixture(scope="session")
def sandbox() -> Iterator[EmbeddedSandbox]:
    """A running server with two workers."""
    with EmbeddedSandbox(workers=2) as server:
        yield server


@pytest.fixture(scope="session")
def secret() -> str:
    """What no program may print."""
    return _SECRET


@pytest.fixture(scope="session", params=["auto", "container"])
def hostile_server(request: pytest.FixtureRequest) -> Iterator[EmbeddedSandbox]:
    """A server for programs that mean harm; who starts it has a secret in the environment."""
    options: dict[str, Any] = {}
    if request.param == "container":
        if why := _why_not("container"):
            pytest.skip(why)
        options = {"isolation": IsolationMode.CONTAINER, "python": _open_python()}
    os.environ["RETOOL_TEST_SECRET"] = _SECRET
    try:
        with EmbeddedSandbox(workers=2, **options) as server:
            yield server
    finally:
        del os.environ["RETOOL_TEST_SECRET"]


@pytest.fixture(scope="session")
def isolation(hostile_server: EmbeddedSandbox) -> frozenset[str]:
    """Names of the mechanisms that the server reports on /health: pid, mount, net, ipc, uts, seccomp ..."""
    answer = httpx.get(f"{hostile_server.url}/health", trust_env=False).json()
    return frozenset(answer["isolation"])


@pytest.fixture
def isolated_runner(hostile_server: EmbeddedSandbox, isolation: frozenset[str]) -> EmbeddedSandbox:
    """A server whose programs cannot reach this machine; skips where there is none."""
    if not {"pid", "mount", "net"} <= isolation and "container" not in isolation:
        pytest.skip(f"needs isolation; the server reports {sorted(isolation) or 'none'}")
    return hostile_server
