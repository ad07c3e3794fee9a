"""What a sandbox server is told once, at its start."""

from dataclasses import dataclass, field

from recipe.retool.sandbox.admission import AdmissionLimits
from recipe.retool.sandbox.limits import usable_cores
from recipe.retool.sandbox.protocol import Runner
from recipe.retool.sandbox.runner import SubprocessRunner
from recipe.retool.sandbox.sessions import SessionLimits

_LEAST, _PER_CORE, _MOST = 64, 8, 512


@dataclass(frozen=True)
class ServerSettings:
    """Settings of one server.

    Attributes:
        limits: Bounds of the queue.
        drain: Seconds that running programs may take to finish after SIGTERM; 0: none.
        token: What callers must show as ``Authorization: Bearer``; empty: nothing.
        log_code: Put the programs into the access log.
        sessions: Bounds of the sessions.
    """

    limits: AdmissionLimits
    drain: float = 0.0
    token: str = field(default="", repr=False)
    log_code: bool = False
    sessions: SessionLimits = field(default_factory=SessionLimits)


def default_workers(runner: Runner) -> int:
    """How many programs a runner should have at once where nobody says it.

    A subprocess imports its libraries itself, so more of them than cores only take turns. A child of a
    fork server starts in milliseconds and often only waits for its time limit: with few at once, programs
    that sleep would hold up those that compute.
    """
    cores = usable_cores()
    if isinstance(runner, SubprocessRunner):
        return cores
    return min(max(_LEAST, _PER_CORE * cores), _MOST)
