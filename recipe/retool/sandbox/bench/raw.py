"""A /run_code client over plain sockets: a full HTTP client would cost more than the server does."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from recipe.retool.sandbox.wire import RUN_PATH


@dataclass(frozen=True)
class RawAnswer:
    """One HTTP answer.

    Attributes:
        code: HTTP status.
        body: Decoded JSON.
        headers: Names in lower case.
    """

    code: int
    body: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> dict[str, Any] | None:
        """SandboxFusion's ``run_result``; None when the program was not run."""
        run = self.body.get("run_result") if self.code == 200 else None
        return run if isinstance(run, dict) else None


class RawClient:
    """Keeps connections open between requests; belongs to one event loop.

    Args:
        url: Address of the server, with or without ``/run_code``.
        token: Shown as ``Authorization: Bearer``; empty: none.
    """

    def __init__(self, url: str, token: str = "") -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        path = parts.path.rstrip("/").removesuffix(RUN_PATH) + RUN_PATH
        bearer = f"Authorization: Bearer {token}\r\n" if token else ""
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{bearer}Content-Type: application/json\r\n"
        )
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(
        self, code: str, timeout: float = 60.0, memory_mb: int = 1024, patience: float = 300.0
    ) -> RawAnswer:
        """Send one program.

        Args:
            code: Python source.
            timeout: Its time limit in seconds.
            memory_mb: Its memory limit in MiB.
            patience: Seconds until asyncio.TimeoutError.

        Raises:
            OSError, EOFError, ValueError: The connection failed, or what came back is no answer.
            asyncio.TimeoutError: No answer.
        """
        body = {
            "code": code,
            "language": "python",
            "run_timeout": timeout,
            "memory_limit_MB": memory_mb,
        }
        return await asyncio.wait_for(self._post(json.dumps(body).encode()), patience)

    async def _post(self, body: bytes) -> RawAnswer:
        while True:
            reused = bool(self._idle)
            pair = self._idle.pop() if reused else await asyncio.open_connection(self._host, self._port)
            try:
                return await self._exchange(*pair, body)
            except (OSError, EOFError):
                pair[1].close()
                if not reused:  # else the server closed it between two requests
                    raise
            except BaseException:
                pair[1].close()
                raise

    async def _exchange(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes
    ) -> RawAnswer:
        writer.write(f"{self._head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines) if name}
        content = await reader.readexactly(int(headers["content-length"]))
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return RawAnswer(int(status.split()[1]), json.loads(content), headers)

    def close(self) -> None:
        """Drop the connections."""
        for _, writer in self._idle:
            writer.close()
        self._idle.clear()
