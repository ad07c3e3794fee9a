"""One real sandbox server for all tests of this folder."""

from collections.abc import Iterator

import pytest

from recipe.retool.sandbox.embedded import EmbeddedSandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[EmbeddedSandbox]:
    """A running server with two workers."""
    with EmbeddedSandbox(workers=2) as server:
        yield server
