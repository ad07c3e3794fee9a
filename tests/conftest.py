"""For all rooms."""

import signal

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Children must get Ctrl-C as in a terminal, also where a shell started us in the background, ignoring it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
