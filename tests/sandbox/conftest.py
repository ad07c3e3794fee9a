"""One real sandbox server for all tests of this folder, and the mark of tests that need namespaces."""

import functools
from collections.abc import Iterator

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


@pytest.fixture(scope="session")
def sandbox() -> Iterator[EmbeddedSandbox]:
    """A running server with two workers."""
    with EmbeddedSandbox(workers=2) as server:
        yield server
