"""Real sandbox servers for all tests of this folder, and the mark of tests that need namespaces."""

import functools
import os
from collections.abc import Iterator

import httpx
import pytest

from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.zygote.probe import probe_isolation


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line("markers", "namespaces: needs a host on which the fork server works")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this host cannot do, with the reason."""
    if item.get_closest_marker("namespaces") is not None and (why := _why_not()):
        pytest.skip(why)


@functools.cache
def _why_not() -> str:
    found = probe_isolation()
    return "" if found.works else found.text()


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


@pytest.fixture(scope="session")
def hostile_server() -> Iterator[EmbeddedSandbox]:
    """A server for programs that mean harm; who starts it has a secret in the environment."""
    os.environ["RETOOL_TEST_SECRET"] = _SECRET
    try:
        with EmbeddedSandbox(workers=2) as server:
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
    if not {"pid", "mount", "net"} <= isolation:
        pytest.skip(f"needs isolation; the server reports {sorted(isolation) or 'none'}")
    return hostile_server
