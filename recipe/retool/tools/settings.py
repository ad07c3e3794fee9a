"""The settings of tools that run on a sandbox, as they stand in a tool config, checked before the start."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar, TypeVar

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.call_settings import DEFAULT_RETRIES
from recipe.retool.sandbox.client import AsyncSandboxClient
from recipe.retool.sandbox.session_client import SessionClient, check_sessions
from recipe.retool.tools.result import DEFAULT_LIMIT

URL_VARIABLE = "RETOOL_SANDBOX_URL"
_ENGINE_KEYS = frozenset({"type", "tool"})  # verl's own: native; and the name of the tool
_Settings = TypeVar("_Settings", bound="SandboxSettings")


@dataclass(frozen=True)
class SandboxSettings:
    """Settings of a tool that runs programs on a sandbox.

    Attributes:
        sandbox_url: Address of the sandbox server, or several with commas between them (in a config also
            as a list); empty takes ``RETOOL_SANDBOX_URL``.
        timeout: Wall-clock limit of a program in seconds.
        memory_limit_mb: Memory limit of a program in MiB.
        max_concurrency: Most calls in flight per event loop, that is per agent-loop worker.
        max_concurrency_per_node: Most calls in flight of all agent-loop workers of a machine; 0: no limit.
        max_result_chars: Most characters of a result text.
        retries: Further tries after connection errors and HTTP 503.
        deadline: Seconds after which a call gives up, waiting included; 0: six time limits and a minute.
        token: Token of the sandbox server; empty takes ``RETOOL_SANDBOX_TOKEN``, which is the better
            place: configs are written to run folders.
    """

    label: ClassVar[str] = "tool"
    sandbox_url: str = ""
    timeout: float = 10.0
    memory_limit_mb: int = 1024
    max_concurrency: int = 32
    max_concurrency_per_node: int = 0
    max_result_chars: int = DEFAULT_LIMIT
    retries: int = DEFAULT_RETRIES
    deadline: float = 0.0
    token: str = field(default="", repr=False)

    @classmethod
    def from_config(
        cls: type[_Settings], config: Mapping[str, Any], environ: Mapping[str, str] = os.environ
    ) -> _Settings:
        """Read a tool config; ConfigError names the key that is unknown or has the wrong type."""
        known = {field.name: field.default for field in fields(cls)}
        unknown = sorted(set(config) - set(known) - _ENGINE_KEYS)
        if unknown:
            raise ConfigError(f"{cls.label}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
        given = {key: value for key, value in config.items() if key in known and value is not None}
        if isinstance(urls := given.get("sandbox_url"), Sequence) and not isinstance(urls, str):
            given["sandbox_url"] = ",".join(map(str, urls))
        values = {key: _as_type_of(cls.label, key, value, known[key]) for key, value in given.items()}
        values["sandbox_url"] = values.get("sandbox_url") or environ.get(URL_VARIABLE, "")
        if not values["sandbox_url"]:
            raise ConfigError(f"{cls.label}: set sandbox_url or the environment variable {URL_VARIABLE}")
        for key in ("max_result_chars", "session_seconds"):
            if key in values and not values[key] >= 1:
                raise ConfigError(f"{cls.label}: {key} must be 1 or more")
        return cls(**values)

    def client(self) -> AsyncSandboxClient:
        """A client with these settings."""
        return AsyncSandboxClient(self.sandbox_url, **self._of_the_client())

    def _of_the_client(self) -> dict[str, Any]:
        return {
            "timeout": self.timeout,
            "memory_limit_mb": self.memory_limit_mb,
            "concurrency": self.max_concurrency,
            "retries": self.retries,
            "deadline": self.deadline or None,
            "token": self.token,
            "node_concurrency": self.max_concurrency_per_node,
        }


@dataclass(frozen=True)
class InterpreterSettings(SandboxSettings):
    """Settings of the code interpreter.

    Attributes:
        stateful: Variables, imports and definitions live on from one block of a trajectory to the next.
        session_seconds: With ``stateful``: life of an interpreter on the clock. The server's own bound
            (``--session-seconds``) holds as well.
    """

    label: ClassVar[str] = "code interpreter"
    stateful: bool = False
    session_seconds: float = 600.0

    def session_client(self) -> SessionClient:
        """A client that can hold sessions; ConfigError for a server that has none."""
        client = SessionClient(self.sandbox_url, **self._of_the_client())
        check_sessions(client.settings)
        return client


def _as_type_of(label: str, key: str, value: Any, default: Any) -> Any:
    """The value in the type of its default; ConfigError when that would change it."""
    wanted = str if default is MISSING else type(default)
    if wanted is bool and isinstance(value, bool):
        return value
    shown = "..." if key == "token" else repr(value)
    try:
        converted = wanted(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{label}: {key} must be a {wanted.__name__}, not {shown}") from error
    if wanted is bool or isinstance(value, bool) or (isinstance(value, float) and converted != value):
        raise ConfigError(f"{label}: {key} must be a {wanted.__name__}, not {shown}")
    return converted
