"""Which runner a server gets: ``--isolation auto|namespaces|container|process``."""

import logging
from enum import Enum

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.runner import SubprocessRunner
from recipe.retool.sandbox.sessions import ProgramRunner
from recipe.retool.sandbox.zygote.probe import probe_isolation
from recipe.retool.sandbox.zygote.probe_container import probe_container
from recipe.retool.sandbox.zygote.runner import ZygoteRunner

logger = logging.getLogger(__name__)


class IsolationMode(str, Enum):
    """How far programs are kept apart."""

    AUTO = "auto"  # namespaces where they work, else container, else process with a warning
    NAMESPACES = "namespaces"  # or no server at all
    CONTAINER = "container"  # without namespaces: users, landlock and a filter; or no server at all
    PROCESS = "process"  # limits only: no wall against hostile code


def choose_runner(mode: IsolationMode, python: str, owns_process: bool) -> ProgramRunner:
    """The runner for a mode; SandboxError when isolation is wanted that cannot be had."""
    reasons = ""
    if mode in (IsolationMode.AUTO, IsolationMode.NAMESPACES):
        found = probe_isolation(python)
        if found.works:
            logger.info("programs run in namespaces; %s", found.text())
            return ZygoteRunner(python=python, isolation=found.names())
        reasons = f"namespaces: {found.text()}"
        if mode is IsolationMode.NAMESPACES:
            raise SandboxError(f"--isolation namespaces: not possible on this host; {found.text()}")
    if mode in (IsolationMode.AUTO, IsolationMode.CONTAINER):
        found = probe_container(python)
        if found.works:
            why = f"namespaces cannot be used ({reasons}); " if reasons else ""
            logger.info("programs run as users of their own; %s%s", why, found.text())
            return ZygoteRunner(python=python, isolation=found.names(), container=True)
        reasons += f"; container: {found.text()}"
        if mode is IsolationMode.CONTAINER:
            raise SandboxError(f"--isolation container: not possible on this host; {found.text()}")
        logger.warning("programs are NOT isolated from this host; %s", reasons)
    return SubprocessRunner(python=python, owns_process=owns_process)
