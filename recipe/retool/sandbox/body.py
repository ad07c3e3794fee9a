"""The body of ``POST /run_code``: JSON text to a validated request, and what is wrong with it."""

import base64
import binascii
import json
from collections.abc import Sequence
from email.message import Message
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError
from pydantic_core import ErrorDetails

from recipe.retool.errors import SandboxError
from recipe.retool.sandbox.protocol import RunRequest
from recipe.retool.sandbox.wire import encodable

_Body = TypeVar("_Body", bound="RunCodeBody")
_NO_OBJECT = "Input should be a valid dictionary or object to extract fields from"


class RunCodeBody(BaseModel):
    """Body of ``POST /run_code``; unknown fields are ignored, ``compile_timeout`` has no effect."""

    code: str
    language: str
    stdin: str | None = None
    compile_timeout: float = 10.0
    run_timeout: float = Field(default=10.0, allow_inf_nan=False)
    memory_limit_MB: int = -1
    files: dict[str, str | None] = Field(default_factory=dict)
    fetch_files: list[str] = Field(default_factory=list)

    def request(self) -> RunRequest:
        """The program to run; SandboxError when a file's content is not base64."""
        return RunRequest(
            code=self.code,
            stdin=self.stdin,
            timeout=self.run_timeout,
            memory_limit_mb=self.memory_limit_MB,
            files={name: _decoded(name, text) for name, text in self.files.items() if text is not None},
            fetch_files=tuple(self.fetch_files),
        )


class SessionBody(RunCodeBody):
    """Body of ``POST /sessions``: that of a run, of which ``memory_limit_MB`` counts, and two clocks.

    Without one, a clock is the server's longest.
    """

    code: str = ""
    language: str = "python"
    session_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    idle_seconds: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class BodyError(Exception):
    """The body is not what it must be.

    Args:
        code: HTTP status of the answer.
        detail: What its ``detail`` says.
    """

    def __init__(self, code: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.code, self.detail = code, detail


def parse_body(raw: bytes, content_type: bytes | None, kind: type[_Body]) -> _Body:
    """The validated body of a kind; BodyError with what FastAPI, and so SandboxFusion, would answer."""
    if not _is_json(content_type):
        raise _invalid("model_attributes_type" if raw else "missing")
    try:
        return kind.model_validate_json(raw)
    except ValidationError:
        # The slow way says what is wrong as FastAPI does, and takes what only Python's parser takes:
        # lone surrogates and UTF-16.
        return _parse_slowly(raw, kind)


def _parse_slowly(raw: bytes, kind: type[_Body]) -> _Body:
    if not raw:
        raise _invalid("missing")
    try:
        data = _encodable(json.loads(raw))
    except json.JSONDecodeError as error:
        detail = {"type": "json_invalid", "loc": ["body", error.pos], "msg": "JSON decode error"}
        raise BodyError(422, [detail]) from error
    except (ValueError, RecursionError) as error:
        raise BodyError(400, "There was an error parsing the body") from error
    if not isinstance(data, dict):
        raise _invalid("missing" if data is None else "model_attributes_type")
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise BodyError(422, _details(error.errors(include_url=False, include_input=False))) from error


def _details(found: Sequence[ErrorDetails]) -> list[dict[str, Any]]:
    return [{"type": e["type"], "loc": ["body", *e["loc"]], "msg": encodable(e["msg"])} for e in found]


def _invalid(kind: str) -> BodyError:
    message = "Field required" if kind == "missing" else _NO_OBJECT
    return BodyError(422, [{"type": kind, "loc": ["body"], "msg": message}])


def _is_json(content_type: bytes | None) -> bool:
    if content_type == b"application/json":
        return True
    message = Message()
    message["content-type"] = (content_type or b"text/plain").decode("latin-1")
    kind = message.get_content_type()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return encodable(value)
    if isinstance(value, list):
        return [_encodable(one) for one in value]
    if isinstance(value, dict):
        return {encodable(key): _encodable(one) for key, one in value.items()}
    return value


def _decoded(name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SandboxError(f"files: the content of {name!r} is not base64: {error}") from error
