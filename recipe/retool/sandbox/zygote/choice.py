"""Which runner a server gets: ``--isolation auto|namespaces|process``."""

import logging
from enum import Enum

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.protocol import Runner
from recipe.retool.sandbox.runner import SubprocessRunner
from recipe.retool.sandbox.zygote.probe import probe_isolation
from recipe.retool.sandbox.zygote.runner import ZygoteRunner

logger = logging.getLogger(__name__)


class IsolationMode(str, Enum):
    """How far programs are kept apart."""

    AUTO = "auto"  # namespaces where they work, else process, with a warning
    NAMESPACES = "namespaces"  # or no server at all
    PROCESS = "process"  # limits only: no wall against hostile code


def choose_runner(mode: IsolationMode, python: str, owns_process: bool) -> Runner:
    """The runner for a mode; SandboxError when namespaces are wanted and cannot be had."""
    if mode is IsolationMode.PROCESS:
        return SubprocessRunner(python=python, owns_process=owns_process)
    found = probe_isolation(python)
    if found.works:
        logger.info("programs run in namespaces; %s", found.text())
        return ZygoteRunner(python=python, isolation=found.names())
    if mode is IsolationMode.NAMESPACES:
        raise SandboxError(f"--isolation namespaces: not possible on this host; {found.text()}")
    logger.warning("programs are NOT isolated from this host: namespaces cannot be used; %s", found.text())
    return SubprocessRunner(python=python, owns_process=owns_process)
