"""The settings of the code interpreter as they stand in a tool config, checked before anything starts."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.call_settings import DEFAULT_RETRIES
from recipe.retool.sandbox.client import AsyncSandboxClient
from recipe.retool.tools.interpreter import CodeInterpreter
from recipe.retool.tools.result import DEFAULT_LIMIT

URL_VARIABLE = "RETOOL_SANDBOX_URL"
_ENGINE_KEYS = frozenset({"type"})  # verl's own: native


@dataclass(frozen=True)
class InterpreterSettings:
    """Settings of the code interpreter.

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
        cls, config: Mapping[str, Any], environ: Mapping[str, str] = os.environ
    ) -> "InterpreterSettings":
        """Read a tool config; ConfigError names the key that is unknown or has the wrong type."""
        known = {field.name: field.default for field in fields(cls)}
        unknown = sorted(set(config) - set(known) - _ENGINE_KEYS)
        if unknown:
            raise ConfigError(f"code interpreter: unknown key {unknown[0]!r}; known: {', '.join(known)}")
        given = {key: value for key, value in config.items() if key in known and value is not None}
        if isinstance(urls := given.get("sandbox_url"), Sequence) and not isinstance(urls, str):
            given["sandbox_url"] = ",".join(map(str, urls))
        values = {key: _as_type_of(key, value, known[key]) for key, value in given.items()}
        values["sandbox_url"] = values.get("sandbox_url") or environ.get(URL_VARIABLE, "")
        if not values["sandbox_url"]:
            raise ConfigError(f"code interpreter: set sandbox_url or the environment variable {URL_VARIABLE}")
        if values.get("max_result_chars", DEFAULT_LIMIT) < 1:
            raise ConfigError("code interpreter: max_result_chars must be 1 or more")
        return cls(**values)

    def interpreter(self) -> CodeInterpreter:
        """A code interpreter with these settings."""
        client = AsyncSandboxClient(
            self.sandbox_url,
            timeout=self.timeout,
            memory_limit_mb=self.memory_limit_mb,
            concurrency=self.max_concurrency,
            retries=self.retries,
            deadline=self.deadline or None,
            token=self.token,
            node_concurrency=self.max_concurrency_per_node,
        )
        return CodeInterpreter(client, self.max_result_chars)


def _as_type_of(key: str, value: Any, default: Any) -> Any:
    """The value in the type of its default; ConfigError when that would change it."""
    wanted = str if default is MISSING else type(default)
    shown = "..." if key == "token" else repr(value)
    try:
        converted = wanted(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"code interpreter: {key} must be a {wanted.__name__}, not {shown}") from error
    if isinstance(value, bool) or (isinstance(value, float) and converted != value):
        raise ConfigError(f"code interpreter: {key} must be a {wanted.__name__}, not {shown}")
    return converted
