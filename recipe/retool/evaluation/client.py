"""An OpenAI-compatible server: token ids in and out where it can (vLLM), messages otherwise."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import openai

from recipe.retool.errors import StageError
from recipe.retool.sandbox.endpoints import Endpoint

KEY_VARIABLE = "OPENAI_API_KEY"
_RETRIES = 5  # of the client library: connection errors, 408, 409, 429 and 5xx, with growing pauses
_CONNECT_SECONDS = 30.0
_NO_ENTRY = (401, 403, 404)  # we may not ask, or nothing is there: so for all others
_KNOWN = ("temperature", "top_p", "max_tokens", "seed", "stop")  # the others are vLLM's own


class NotGenerated(Exception):
    """One answer could not be had.

    Attributes:
        fatal: No other could be either.
        too_long: The server's context is full.
    """

    def __init__(self, message: str, fatal: bool = False, too_long: bool = False) -> None:
        super().__init__(message)
        self.fatal, self.too_long = fatal, too_long


@dataclass(frozen=True)
class Generated:
    """One turn of the model.

    Attributes:
        ids: Its tokens; empty from a server that gives text alone.
        message: The message of a chat completion; empty from token completions.
        finish_reason: ``stop``, ``length``, ``tool_calls`` ...
    """

    ids: Sequence[int]
    message: Mapping[str, Any]
    finish_reason: str


class Client:
    """One model on one server.

    Args:
        url: Base address, ``http://host:port/v1``.
        model: Its name there.
        seconds: Longest time of one request.
    """

    def __init__(self, url: str, model: str, seconds: float = 3600.0) -> None:
        self.model = model
        self._url = url
        self._api = openai.AsyncOpenAI(
            base_url=url,
            api_key=_key(),
            max_retries=_RETRIES,
            timeout=openai.Timeout(seconds, connect=_CONNECT_SECONDS),
            http_client=openai.DefaultAsyncHttpxClient(trust_env=Endpoint(url).use_proxy),
        )

    async def tokens(self, prompt_ids: Sequence[int], sampling: Mapping[str, Any]) -> Generated:
        """Continue token ids.

        Raises:
            NotGenerated: No tokens came back.
        """
        more = {"return_token_ids": True, "skip_special_tokens": False}
        answer = await self._ask(
            self._api.completions.create, sampling, more, model=self.model, prompt=list(prompt_ids)
        )
        choice = answer.choices[0].model_dump()
        if choice.get("token_ids") is None:
            raise NotGenerated(
                f"{self._url} returns no token ids (vLLM does, from 0.10.2 on): leave --tokenizer out to ask "
                "by chat messages",
                fatal=True,
            )
        if not choice["token_ids"]:
            raise NotGenerated(f"{self._url} returned no token")
        return Generated(choice["token_ids"], {}, str(choice["finish_reason"]))

    async def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        sampling: Mapping[str, Any],
        schemas: Sequence[Mapping[str, Any]] | None = None,
    ) -> Generated:
        """Answer messages; with ``schemas`` the server may return tool calls.

        Raises:
            NotGenerated: No answer came back.
        """
        tools = {"tools": list(schemas)} if schemas else {}
        answer = await self._ask(
            self._api.chat.completions.create,
            sampling,
            {},
            model=self.model,
            messages=list(messages),
            **tools,
        )
        choice = answer.choices[0]
        message = choice.message.model_dump(
            exclude_none=True, warnings=False
        )  # types are the server's affair
        return Generated([], message, str(choice.finish_reason))

    async def _ask(
        self, call: Any, sampling: Mapping[str, Any], more: Mapping[str, Any], **given: Any
    ) -> Any:
        known = {key: value for key, value in sampling.items() if key in _KNOWN}
        extra = {key: value for key, value in sampling.items() if key not in _KNOWN}
        try:
            answer = await call(**given, **known, extra_body={**extra, **more})
        except openai.APIStatusError as error:
            too_long = error.status_code == 400 and "context" in str(error).lower()
            raise NotGenerated(self._told(error), error.status_code in _NO_ENTRY, too_long) from error
        except openai.OpenAIError as error:
            raise NotGenerated(self._told(error)) from error
        if not answer.choices or answer.choices[0].finish_reason in ("abort", "error"):
            raise NotGenerated(f"{self._url} gave up a request")
        return answer

    def _told(self, error: Exception) -> str:
        return f"{self._url}: {_without_key(str(error))}"


def served_models(url: str) -> list[str]:
    """Names of the models of a server.

    Raises:
        StageError: It does not answer, or not as an OpenAI-compatible server.
    """
    http = openai.DefaultHttpxClient(trust_env=Endpoint(url).use_proxy)
    try:
        with openai.OpenAI(
            base_url=url, api_key=_key(), max_retries=1, timeout=_CONNECT_SECONDS, http_client=http
        ) as client:
            return [model.id for model in client.models.list()]
    except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
        told = _without_key(str(error))
        raise StageError(
            f"{url} does not answer as an OpenAI-compatible server ({told}): is it running, does the "
            f"address end in /v1, and does it want a key in {KEY_VARIABLE}?"
        ) from error


def _key() -> str:
    return os.environ.get(KEY_VARIABLE) or "none"


def _without_key(text: str) -> str:
    """Some servers repeat the key that they refuse, and messages go into logs."""
    key = os.environ.get(KEY_VARIABLE)
    return text.replace(key, f"({KEY_VARIABLE})") if key else text
