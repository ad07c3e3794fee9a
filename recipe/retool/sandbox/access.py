"""The access log: one line a request, without the program unless asked."""

import json
import logging
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recipe.retool.sandbox.service import Reply

logger = logging.getLogger("recipe.retool.sandbox.access")
FORMATS = ("text", "json")


def log_request(
    scope: Mapping[str, Any],
    name: str,
    reply: "Reply",
    seconds: float,
    sizes: tuple[int, int],
    with_code: bool,
) -> None:
    """Log one answered request at level info.

    Args:
        scope: ASGI's.
        name: Request id.
        reply: What was answered.
        seconds: Time from the head of the request to the answer.
        sizes: Bytes of the bodies in and out.
        with_code: Log the program too.
    """
    if not logger.isEnabledFor(logging.INFO):
        return
    fields: dict[str, Any] = {
        "request_id": name,
        "status": reply.outcome,
        "code": reply.code,
        "waited": round(reply.waited, 4),
        "seconds": round(seconds, 4),
        "bytes_in": sizes[0],
        "bytes_out": sizes[1],
        "peer": ":".join(map(str, scope.get("client") or ())),
    }
    if with_code:
        fields["program"] = reply.program
    logger.info("%s", " ".join(f"{key}={value!r}" for key, value in fields.items()), extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record; ``fields`` of a request take the place of its message."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        line |= getattr(record, "fields", None) or {"message": record.getMessage()}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def configure_logs(level: str, style: str = "text") -> None:
    """Send the logs of this process to standard error; ``style`` is one of ``FORMATS``."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if style == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
