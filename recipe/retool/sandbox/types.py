"""What one execution of model code looked like, whoever ran it."""

from dataclasses import dataclass
from enum import Enum


class ExecutionStatus(str, Enum):
    """Outcome of one run. All but the last are the model's doing, the last is ours."""

    OK = "ok"  # exit code 0
    ERROR = "error"  # exception, syntax error, sys.exit(n)
    TIMEOUT = "timeout"
    MEMORY = "memory"  # memory limit reached
    OUTPUT_LIMIT = "output_limit"  # printed more than the server lets through, and was killed for it
    CRASHED = "crashed"  # died by its own fault: segmentation fault, abort and the like
    KILLED = "killed"  # died by another signal that was not one of the limits
    REFUSED = "refused"  # the server's code policy did not let it run
    UNAVAILABLE = "unavailable"  # the sandbox could not be reached or failed itself


@dataclass(frozen=True)
class ExecutionResult:
    """Result of one code execution.

    Attributes:
        status: Outcome.
        stdout: Standard output, decoded with replacement.
        stderr: Standard error (the traceback lives here).
        return_code: Exit code; negative for a signal; None when there was none (time-out, unavailable).
        seconds: Wall-clock time of the run in seconds, process creation included.
        message: Why the sandbox was unavailable; empty otherwise.
    """

    status: ExecutionStatus
    stdout: str = ""
    stderr: str = ""
    return_code: int | None = None
    seconds: float = 0.0
    message: str = ""

    @property
    def ok(self) -> bool:
        """True when the program ended by itself with exit code 0."""
        return self.status is ExecutionStatus.OK
