"""Where sandbox servers are: one address or several, what is called on each, and with which token."""

import ipaddress
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.wire import HEALTH_PATH, PING_PATH, RUN_PATH, SESSIONS_PATH, TOKEN_VARIABLE


@dataclass(frozen=True)
class Endpoint:
    """One sandbox server.

    Attributes:
        base: Its address without the path of a call and without a final slash.
    """

    base: str

    @property
    def run(self) -> str:
        """Address of the call that runs a program."""
        return self.base + RUN_PATH

    @property
    def ping(self) -> str:
        """Address of the call that every SandboxFusion server answers with "pong"."""
        return self.base + PING_PATH

    @property
    def health(self) -> str:
        """Address of the state of our own servers; SandboxFusion has none."""
        return self.base + HEALTH_PATH

    @property
    def sessions(self) -> str:
        """Address of the sessions of our own servers; SandboxFusion has none."""
        return self.base + SESSIONS_PATH

    @property
    def use_proxy(self) -> bool:
        """False for loopback: an HTTP_PROXY of the cluster must not swallow calls to this machine."""
        host = urlsplit(self.base).hostname or ""
        try:
            return not ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host != "localhost"


def parse_endpoints(url: str | Sequence[str]) -> tuple[Endpoint, ...]:
    """The servers that ``url`` names: one address, several with commas between them, or a list.

    ``/run_code`` at the end of an address is accepted, and a server that is named twice counts once.

    Raises:
        ConfigError: None is named, or an address cannot work or holds a password.
    """
    words = url.split(",") if isinstance(url, str) else url
    bases = [_base(word.strip()) for word in words if word.strip()]
    if not bases:
        raise ConfigError("sandbox_url: no address given; one is such as http://127.0.0.1:8080")
    return tuple(Endpoint(base) for base in dict.fromkeys(bases))


def _base(address: str) -> str:
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as an IPv6 address without its closing bracket, or port 99999
        raise _no_address(address) from None
    if parts.username is not None or parts.password is not None:  # it would stand in logs and messages
        raise ConfigError(
            f"sandbox_url: leave user and password out of the address; a token goes into {TOKEN_VARIABLE}"
        )
    if not good or parts.query or parts.fragment:
        raise _no_address(address)
    return address.rstrip("/").removesuffix(RUN_PATH)


def _no_address(address: str) -> ConfigError:
    shown = address if "@" not in address else "..."
    return ConfigError(f"sandbox_url: {shown!r} is not an http address such as http://127.0.0.1:8080")


def read_token(given: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """The token to send: ``given``, or else that of the environment; empty for none.

    Raises:
        ConfigError: It cannot stand in a header. The message does not show it.
    """
    token = (given or environ.get(TOKEN_VARIABLE, "")).strip()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ConfigError(f"the sandbox token ({TOKEN_VARIABLE}) must be printable ASCII without spaces")
    return token


def headers(token: str) -> dict[str, str]:
    """Headers of every call."""
    common = {"content-type": "application/json"}
    return {**common, "authorization": f"Bearer {token}"} if token else common
