"""For all rooms."""

import signal

import pytest
from hypothesis import settings

settings.register_profile("steady", deadline=None)  # a busy machine is no failure
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C reach the children as in a terminal, also where a shell started us with it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
