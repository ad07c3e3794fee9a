"""HTTP on an event loop: one exchange with a server within so many seconds."""

from collections.abc import Mapping

import anyio
import httpx

from recipe.retool.sandbox.call_settings import CONNECT_SECONDS, MOST_ANSWER_BYTES, TOO_LONG
from recipe.retool.sandbox.conversation import Answer, Broken
from recipe.retool.sandbox.endpoints import Endpoint
from recipe.retool.sandbox.wire import PATIENCE_HEADER, decode

# uvicorn closes idle connections after 5 s; one that it is just closing costs a try.
_KEEP_SECONDS = 4.0


class AsyncHttp:
    """Connections of one event loop, kept between calls.

    Args:
        headers: Headers of every call.
        connections: How many there may be.
    """

    def __init__(self, headers: Mapping[str, str], connections: int) -> None:
        self._headers = headers
        self._limits = httpx.Limits(max_connections=connections, keepalive_expiry=_KEEP_SECONDS)
        self._clients: dict[bool, httpx.AsyncClient] = {}  # by the use of the environment's proxy

    async def ask(
        self,
        endpoint: Endpoint,
        address: str,
        seconds: float,
        content: bytes | None = None,
        method: str = "",
    ) -> Answer | Broken:
        """GET, POST when there is content, or ``method``. Raises nothing but CancelledError and its kin."""
        client = self._client(endpoint.use_proxy)
        headers = {**self._headers, PATIENCE_HEADER: f"{seconds:.3f}"}
        method = method or ("GET" if content is None else "POST")
        try:
            with anyio.fail_after(seconds):
                async with client.stream(method, address, content=content, headers=headers) as response:
                    return await _read(response)
        except TimeoutError:
            return Broken(f"{endpoint.base}: no answer in {seconds:.3g} s")
        except Exception as error:  # whatever the connection did
            return Broken.by(endpoint.base, error)

    def _client(self, use_proxy: bool) -> httpx.AsyncClient:
        client = self._clients.get(use_proxy)
        if client is None:
            timeout = httpx.Timeout(None, connect=CONNECT_SECONDS)
            client = httpx.AsyncClient(timeout=timeout, limits=self._limits, trust_env=use_proxy)
            self._clients[use_proxy] = client
        return client

    async def aclose(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()


async def _read(response: httpx.Response) -> Answer:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MOST_ANSWER_BYTES:
            return Answer(response.status_code, TOO_LONG)
    return Answer(response.status_code, decode(content), response.headers.get("retry-after"))
