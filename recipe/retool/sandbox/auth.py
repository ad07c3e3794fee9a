"""Who may use a server: one token, shown as ``Authorization: Bearer``."""

import hmac
import ipaddress
import os
from pathlib import Path

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.wire import TOKEN_VARIABLE


def read_token(path: str | None) -> str:
    """The token out of a file or else of the environment; empty when there is none.

    The variable is taken out of the environment: what the server starts has no business with it.

    Raises:
        SandboxError: The file cannot be read, or a token is empty or not printable ASCII.
    """
    value = os.environ.pop(TOKEN_VARIABLE, None)
    source = TOKEN_VARIABLE
    if path is not None:
        source = path
        try:
            value = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise SandboxError(f"--token-file: {error}") from error
    if value is None:
        return ""
    token = value.strip()
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise SandboxError(f"{source}: a token is one word of printable ASCII characters")
    return token


def admits(token: str, header: bytes | None) -> bool:
    """Whether an Authorization header shows the token; anything does when the token is empty."""
    if not token:
        return True
    scheme, _, shown = (header or b"").partition(b" ")
    # In constant time: an answer that comes sooner for a worse guess would give the token away.
    return hmac.compare_digest(shown.strip(), token.encode()) and scheme.lower() == b"bearer"


def is_loopback(host: str) -> bool:
    """True for addresses that only this machine reaches."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
