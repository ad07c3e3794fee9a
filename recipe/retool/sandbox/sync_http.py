"""HTTP without an event loop: one exchange with a server within so many seconds, and the one ping."""

import os
import threading
import time
from collections.abc import Mapping

import requests
from requests.auth import AuthBase

from recipe.retool.sandbox.call_settings import CONNECT_SECONDS, MOST_ANSWER_BYTES, TOO_LONG
from recipe.retool.sandbox.conversation import Answer, Broken
from recipe.retool.sandbox.endpoints import Endpoint, headers, read_token
from recipe.retool.sandbox.wire import PATIENCE_HEADER, decode, ping_problem

_CHUNK_BYTES = 65536


class _Headers(AuthBase):
    """Sets headers last: a line in ~/.netrc must not replace the token."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers.update(self._headers)
        return request


class SyncHttp:
    """Connections that are kept between calls, for each thread its own; a fork begins with none.

    Args:
        headers: Headers of every call.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._auth = _Headers(headers)
        self._own = threading.local()
        self._pid = os.getpid()

    def ask(
        self, endpoint: Endpoint, address: str, seconds: float, content: bytes | None = None
    ) -> Answer | Broken:
        """GET, or POST when there is content. Raises nothing but KeyboardInterrupt and its kin."""
        end = time.monotonic() + seconds
        try:
            with self._session(endpoint).request(
                "GET" if content is None else "POST",
                address,
                data=content,
                headers={PATIENCE_HEADER: f"{seconds:.3f}"},
                auth=self._auth,
                timeout=(min(seconds, CONNECT_SECONDS), seconds),
                stream=True,
                allow_redirects=False,
            ) as response:
                return _read(response, end) or Broken(f"{endpoint.base}: no whole answer in {seconds:.3g} s")
        except requests.ReadTimeout:
            return Broken(f"{endpoint.base}: no answer in {seconds:.3g} s")
        except Exception as error:  # whatever the connection did
            return Broken.by(endpoint.base, error)

    def _session(self, endpoint: Endpoint) -> requests.Session:
        if self._pid != os.getpid():  # two processes on one connection would read each other's answers
            self._own, self._pid = threading.local(), os.getpid()
        name = f"proxy_{endpoint.use_proxy}"
        session: requests.Session | None = getattr(self._own, name, None)
        if session is None:
            session = requests.Session()
            session.trust_env = endpoint.use_proxy
            setattr(self._own, name, session)
        return session

    def close(self) -> None:
        """Close this thread's connections; those of other threads go with them."""
        for session in vars(self._own).values():
            session.close()


def _read(response: requests.Response, end: float) -> Answer | None:
    """The whole answer; None when it trickles beyond ``end``."""
    content = bytearray()
    # read1 returns what is there: read would wait for a full chunk, and each byte renews its time-out.
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        content += chunk
        if time.monotonic() > end:
            return None
        if len(content) > MOST_ANSWER_BYTES:
            return Answer(response.status_code, TOO_LONG)
    return Answer(response.status_code, decode(content), response.headers.get("retry-after"))


def ping(endpoint: Endpoint, seconds: float = 2.0, token: str | None = None) -> str:
    """Why a server does not answer as a sandbox does; empty when it does.

    Args:
        endpoint: The server.
        seconds: How long it may take.
        token: None takes the environment's.
    """
    answer = get(endpoint, endpoint.ping, seconds, token)
    return answer.reason if isinstance(answer, Broken) else ping_problem(answer.code, answer.body)


def get(endpoint: Endpoint, address: str, seconds: float, token: str | None = None) -> Answer | Broken:
    """One GET on a connection of its own. ConfigError for a token that cannot be sent."""
    http = SyncHttp(headers(read_token(token)))
    try:
        return http.ask(endpoint, address, seconds)
    finally:
        http.close()
