"""Clients of a sandbox server. A service that fails is a result (UNAVAILABLE), never an exception."""

import asyncio
import ipaddress
import threading
import time
import weakref
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit

import httpx
import requests

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.retry import Tries
from recipe.retool.sandbox.types import ExecutionResult
from recipe.retool.sandbox.wire import RETRY_CODES, RUN_PATH, parse_response, request_body, unavailable


@dataclass(frozen=True)
class CallSettings:
    """How one program is sent.

    Attributes:
        url: Address of the server; ``/run_code`` is added when it is not there.
        timeout: Wall-clock limit of the program in seconds.
        memory_limit_mb: Memory limit of the program in MiB.
        retries: Further tries after a refused or broken connection or HTTP 502, 503, 504. A 503 with
            Retry-After is no failed try: the call waits and asks again until the deadline (not with 0).
        deadline: Seconds after which a call gives up, waiting in the server's queue included;
            None: four time limits and half a minute.
    """

    url: str
    timeout: float = 10.0
    memory_limit_mb: int = 1024
    retries: int = 3
    deadline: float | None = None

    def __post_init__(self) -> None:
        """Refuse what can never work before the first call."""
        if not _is_http_address(self.url):
            raise ConfigError(
                f"sandbox_url: {self.url!r} is not an http address such as http://127.0.0.1:8080"
            )
        for name, value in (("timeout", self.timeout), ("deadline", self.total_seconds)):
            if not value > 0:
                raise ConfigError(f"sandbox {name}: {value} must be greater than 0")
        if self.retries < 0:
            raise ConfigError(f"sandbox retries: {self.retries} must be 0 or more")

    @property
    def total_seconds(self) -> float:
        """The deadline in force."""
        return 4 * self.timeout + 30 if self.deadline is None else self.deadline

    @property
    def endpoint(self) -> str:
        """Full address of the run call."""
        base = self.url.rstrip("/")
        return base if base.endswith(RUN_PATH) else base + RUN_PATH

    @property
    def use_proxy(self) -> bool:
        """False for loopback: an HTTP_PROXY of the cluster must not swallow calls to this machine."""
        host = urlsplit(self.url).hostname or ""
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host != "localhost"


@dataclass(frozen=True)
class _LoopState:
    """What belongs to one event loop: pooled connections cannot be used from another one."""

    http: httpx.AsyncClient
    slots: asyncio.Semaphore


class AsyncSandboxClient:
    """Runs programs on a sandbox server; usable from several event loops.

    Args:
        url: Address of the server.
        timeout: Wall-clock limit of a program in seconds.
        memory_limit_mb: Memory limit of a program in MiB.
        concurrency: Most calls in flight per event loop; more wait here, and their deadline with them.
        retries: Further tries on connection errors and HTTP 502, 503, 504.
        deadline: See :class:`CallSettings`; starts when the call gets its slot.
    """

    def __init__(
        self,
        url: str,
        timeout: float = 10.0,
        memory_limit_mb: int = 1024,
        concurrency: int = 32,
        retries: int = 3,
        deadline: float | None = None,
    ) -> None:
        if concurrency < 1:
            raise ConfigError(f"sandbox concurrency: {concurrency} must be 1 or more")
        self.settings = CallSettings(url, timeout, memory_limit_mb, retries, deadline)
        self._concurrency = concurrency
        self._states: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopState]
        self._states = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    async def run(self, code: str, stdin: str | None = None) -> ExecutionResult:
        """Run a program. Raises nothing but CancelledError."""
        state = self._state()
        async with state.slots:
            started = time.monotonic()
            try:
                return await asyncio.wait_for(
                    self._tries(state.http, code, stdin), self.settings.total_seconds
                )
            except (asyncio.TimeoutError, httpx.TimeoutException):
                message = f"no answer from {self.settings.endpoint} in {self.settings.total_seconds:g} s"
                return unavailable(message, time.monotonic() - started)
            except Exception as error:  # whatever the service did, training goes on
                return unavailable(f"{type(error).__name__}: {error}", time.monotonic() - started)

    async def _tries(self, http: httpx.AsyncClient, code: str, stdin: str | None) -> ExecutionResult:
        cfg = self.settings
        body = request_body(code, cfg.timeout, cfg.memory_limit_mb, stdin)
        tries = Tries(cfg.retries, cfg.total_seconds)
        while True:
            try:
                response = await http.post(cfg.endpoint, json=body)
            except httpx.TimeoutException:  # the deadline itself
                raise
            except httpx.TransportError as error:
                result = unavailable(f"{cfg.endpoint}: {type(error).__name__}: {error}")
                delay = tries.delay()
            else:
                result, delay = _judge(response, tries)
            if delay is None:
                return result
            await asyncio.sleep(delay)

    def _state(self) -> _LoopState:
        loop = asyncio.get_running_loop()
        with self._lock:
            state = self._states.get(loop)
            if state is None:
                limits = httpx.Limits(max_connections=self._concurrency, keepalive_expiry=30)
                http = httpx.AsyncClient(
                    timeout=self.settings.total_seconds, limits=limits, trust_env=self.settings.use_proxy
                )
                state = self._states[loop] = _LoopState(http, asyncio.Semaphore(self._concurrency))
            return state

    async def aclose(self) -> None:
        """Close the connections of the running loop; those of other loops go with their loops."""
        with self._lock:
            state = self._states.pop(asyncio.get_running_loop(), None)
        if state is not None:
            await state.http.aclose()

    async def __aenter__(self) -> "AsyncSandboxClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class SyncSandboxClient:
    """The same for code without an event loop; one call at a time. Arguments as in :class:`CallSettings`."""

    def __init__(
        self,
        url: str,
        timeout: float = 10.0,
        memory_limit_mb: int = 1024,
        retries: int = 3,
        deadline: float | None = None,
    ) -> None:
        self.settings = CallSettings(url, timeout, memory_limit_mb, retries, deadline)
        self._http = requests.Session()
        self._http.trust_env = self.settings.use_proxy

    def run(self, code: str, stdin: str | None = None) -> ExecutionResult:
        """Run a program. Raises nothing."""
        cfg = self.settings
        body = request_body(code, cfg.timeout, cfg.memory_limit_mb, stdin)
        tries = Tries(cfg.retries, cfg.total_seconds)
        while True:
            try:
                response = self._http.post(cfg.endpoint, json=body, timeout=max(tries.left, 0.001))
            except requests.Timeout:
                return unavailable(
                    f"no answer from {cfg.endpoint} in {cfg.total_seconds:g} s", cfg.total_seconds
                )
            except requests.RequestException as error:
                result = unavailable(f"{cfg.endpoint}: {type(error).__name__}: {error}")
                delay = tries.delay()
            else:
                result, delay = _judge(response, tries)
            if delay is None:
                return result
            time.sleep(delay)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


def _is_http_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # such as an IPv6 address without its closing bracket
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _judge(
    response: httpx.Response | requests.Response, tries: Tries
) -> tuple[ExecutionResult, float | None]:
    """What an answer means, and the seconds to wait before asking again; None when it is final."""
    result = parse_response(response.status_code, _json(response))
    again = response.status_code in RETRY_CODES
    return result, tries.delay(response.headers.get("retry-after")) if again else None


def _json(response: httpx.Response | requests.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return response.text
