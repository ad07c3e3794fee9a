"""An OpenAI-compatible server over real HTTP whose answers are written down."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Reply = dict[str, Any] | int | str  # a choice, the code of an error, or the message of a refusal (400)


@dataclass
class Script:
    """What the server answers, and what it was asked.

    Attributes:
        reply: From the request's body to a reply.
        asked: Bodies of all requests.
    """

    reply: Callable[[dict[str, Any]], Reply]
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, request: Request) -> Response:
        body = json.loads(await request.body())
        self.asked.append(body)
        reply = self.reply(body)
        if isinstance(reply, str):
            return JSONResponse({"error": {"message": reply}}, status_code=400)
        if isinstance(reply, int):
            return JSONResponse({"error": {"message": f"error {reply}"}}, status_code=reply)
        choice = {"index": 0, "finish_reason": "stop", "logprobs": None, **reply}
        kind = "chat.completion" if "message" in choice else "text_completion"
        return JSONResponse(
            {"id": "x", "object": kind, "created": 0, "model": body["model"], "choices": [choice]}
        )


@contextmanager
def serving(script: Script, models: tuple[str, ...] = ("m",)) -> Iterator[str]:
    """The base address of a server that follows the script."""

    async def listed(_: Request) -> Response:
        return JSONResponse({"object": "list", "data": [{"id": name, "object": "model"} for name in models]})

    paths = ("/v1/completions", "/v1/chat/completions")
    routes = [Route("/v1/models", listed), *(Route(path, script.answer, methods=["POST"]) for path in paths)]
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
    finally:
        server.should_exit = True
        thread.join(10)
