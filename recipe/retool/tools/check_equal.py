"""``check_equal``: are two expressions the same? Decided by sympy, in the sandbox.

The program is always the same (``equality_program.py``), and the expressions are its standard input: they are
evaluated behind the sandbox's walls, never in a process of the recipe.
"""

import functools
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.sandbox.session_client import BlockResult
from recipe.retool.sandbox.wire import unavailable
from recipe.retool.tools.arguments import BadArguments, bad_arguments, text_arguments
from recipe.retool.tools.interpreter import SandboxClient, refused, told
from recipe.retool.tools.result import DEFAULT_LIMIT
from recipe.retool.tools.settings import SandboxSettings

logger = logging.getLogger(__name__)
_NAMES = ("left", "right")
_EXAMPLE = 'call it with {"left": "sqrt(8)", "right": "2*sqrt(2)"}'
_MOST_CHARACTERS = 10_000


class _Settings(SandboxSettings):
    label = "check_equal"


class CheckEqual:
    """Executes calls of the ``check_equal`` tool.

    Args:
        client: Runs the program.
        limit: Most characters of a result text.
    """

    schema: ClassVar[Mapping[str, Any]] = {
        "type": "function",
        "function": {
            "name": "check_equal",
            "description": (
                "Checks whether two mathematical expressions are equal. Says equal, not equal or cannot "
                "tell, and their numeric values."
            ),
            "parameters": {
                "type": "object",
                "properties": {
                    "left": {"type": "string", "description": "An expression in Python or sympy syntax."},
                    "right": {"type": "string", "description": "The expression to compare it with."},
                },
                "required": ["left", "right"],
            },
        },
    }

    def __init__(self, client: SandboxClient, limit: int = DEFAULT_LIMIT) -> None:
        self._client, self._limit = client, limit

    @classmethod
    def from_config(cls, config: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> "CheckEqual":
        """The tool of a config; ConfigError for what cannot work."""
        settings = _Settings.from_config(config, environ)
        return cls(settings.client(), settings.max_result_chars)

    async def call(self, arguments: Any, session: Session) -> ToolResult:
        """Execute one call, whatever the model put into it. Raises nothing but CancelledError."""
        checked = text_arguments(arguments, _NAMES, _EXAMPLE)
        if isinstance(checked, BadArguments):
            return refused(checked)
        if max(map(len, checked.values())) > _MOST_CHARACTERS:
            problem = f"an expression may have {_MOST_CHARACTERS} characters"
            return refused(bad_arguments("too_long", problem, _EXAMPLE))
        try:
            result = await self._client.run(_program(), json.dumps(checked))
        except Exception as error:
            logger.exception("the sandbox client raised; counted as unavailable")
            result = unavailable(f"{type(error).__name__}: {error}")
        return told(BlockResult(result), self._limit)


@functools.cache
def _program() -> str:
    return Path(__file__).with_name("equality_program.py").read_text(encoding="utf-8")
