"""How programs are sent to the servers: what both clients are made from."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.balance import Balancer
from recipe.retool.sandbox.endpoints import Endpoint, headers, parse_endpoints, read_token
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import request_body

DEFAULT_RETRIES = 6  # outlasts some 8 s, in which a sandbox that died is started again
CONNECT_SECONDS = 5.0  # a host that swallows packets must not eat the whole deadline
MOST_ANSWER_BYTES = 64 * 2**20
TOO_LONG = "the answer is longer than 64 MiB"


@dataclass(frozen=True)
class CallSettings:
    """How programs are sent.

    Attributes:
        url: Address of the server, or several with commas between them or as a list.
        timeout: Wall-clock limit of a program in seconds.
        memory_limit_mb: Memory limit of a program in MiB.
        retries: Further tries after a refused or broken connection, or HTTP 503; going on to another
            server is none. A 503 with Retry-After is no failed try: the call waits and asks again until
            the deadline (not with 0).
        deadline: Seconds after which a call gives up. It covers all: waiting for a turn here, for a full
            server and between tries. None: six time limits and a minute.
        token: Sent as ``Authorization: Bearer``; None takes the environment's. No message shows it.
    """

    url: str | Sequence[str]
    timeout: float = 10.0
    memory_limit_mb: int = 1024
    retries: int = DEFAULT_RETRIES
    deadline: float | None = None
    token: str | None = field(default=None, repr=False)
    endpoints: tuple[Endpoint, ...] = field(init=False, repr=False)
    headers: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what can never work before the first call."""
        object.__setattr__(self, "endpoints", parse_endpoints(self.url))
        object.__setattr__(self, "token", read_token(self.token))
        object.__setattr__(self, "headers", headers(self.token or ""))
        for name, value in (("timeout", self.timeout), ("deadline", self.total_seconds)):
            if not value > 0:
                raise ConfigError(f"sandbox {name}: {value} must be greater than 0")
        if self.retries < 0:
            raise ConfigError(f"sandbox retries: {self.retries} must be 0 or more")

    @property
    def total_seconds(self) -> float:
        """The deadline in force."""
        return 6 * self.timeout + 60 if self.deadline is None else self.deadline

    def balancer(self) -> Balancer:
        """A fresh state of the servers."""
        return Balancer(len(self.endpoints), time.monotonic)

    def content(self, code: str, stdin: str | None) -> bytes:
        """Body of a request."""
        body = request_body(code, self.timeout, self.memory_limit_mb, stdin)
        return json.dumps(body).encode()

    def opening(self, seconds: float) -> bytes:
        """Body of a request for a session with so long a life."""
        body = request_body("", self.timeout, self.memory_limit_mb)
        return json.dumps({**body, "session_seconds": seconds}).encode()

    def told(self, result: ExecutionResult, started: float) -> ExecutionResult:
        """The result as the caller gets it: a failure with the time it took, and never with the token."""
        if result.status is not ExecutionStatus.UNAVAILABLE:
            return result
        message = result.message.replace(self.token, "***") if self.token else result.message
        return replace(result, message=message, seconds=time.monotonic() - started)
