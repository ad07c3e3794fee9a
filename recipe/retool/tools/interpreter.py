"""The code interpreter without any engine: arguments in, text for the model and a verdict out."""

import logging
import os
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.sandbox.session_client import BlockResult, SessionClient
from recipe.retool.sandbox.snippet import echo_last_expression
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import unavailable
from recipe.retool.tools.arguments import BadArguments, parse_arguments
from recipe.retool.tools.result import DEFAULT_LIMIT, error_name, is_empty, result_text
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA, TOOL_NAME
from recipe.retool.tools.settings import InterpreterSettings

logger = logging.getLogger(__name__)
BAD_ARGUMENTS = "bad_arguments"


class SandboxClient(Protocol):
    """Whatever runs a program and never raises."""

    async def run(self, code: str, stdin: str | None = None) -> ExecutionResult:
        """Run one program."""
        ...


class CodeInterpreter:
    """Executes calls of the ``code_interpreter`` tool.

    Args:
        client: Runs the programs.
        limit: Most characters of a result text.
        session_seconds: Life of an interpreter whose variables live on between the calls of a trajectory;
            0: each call is a program of its own. The client must be a ``SessionClient`` then.
    """

    schema: ClassVar[Mapping[str, Any]] = CODE_INTERPRETER_SCHEMA

    def __init__(
        self, client: SandboxClient, limit: int = DEFAULT_LIMIT, session_seconds: float = 0.0
    ) -> None:
        self._client = client
        self._limit = limit
        self._sessions = client if session_seconds and isinstance(client, SessionClient) else None
        self._session_seconds = session_seconds

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], environ: Mapping[str, str] = os.environ
    ) -> "CodeInterpreter":
        """The tool of a config; ConfigError for what cannot work."""
        settings = InterpreterSettings.from_config(config, environ)
        if settings.stateful:
            return cls(settings.session_client(), settings.max_result_chars, settings.session_seconds)
        return cls(settings.client(), settings.max_result_chars)

    async def call(self, arguments: Any, session: Session) -> ToolResult:
        """Execute one call, whatever the model put into it. Raises nothing but CancelledError."""
        checked = parse_arguments(arguments)
        if isinstance(checked, BadArguments):
            return refused(checked)
        lines = sum(1 for line in checked.code.splitlines() if line.strip())
        try:
            block = await self._run(echo_last_expression(checked.code), session)
        except Exception as error:
            logger.exception("the sandbox client raised; counted as unavailable")
            block = BlockResult(unavailable(f"{type(error).__name__}: {error}"))
        return told(block, self._limit, lines)

    async def _run(self, code: str, session: Session) -> BlockResult:
        if self._sessions is None:
            return BlockResult(await self._client.run(code))
        held = session.held.get(TOOL_NAME)
        if held is None:
            held = session.held[TOOL_NAME] = self._sessions.session(self._session_seconds)
        block: BlockResult = await held.run(code)
        return block


def refused(bad: BadArguments) -> ToolResult:
    """The result of a call whose arguments cannot be used."""
    return ToolResult(bad.text, f"{BAD_ARGUMENTS}:{bad.kind}")


def told(block: BlockResult, limit: int, code_lines: int = 0) -> ToolResult:
    """The result of a call that was sent to a sandbox."""
    result = block.result
    if result.status is ExecutionStatus.UNAVAILABLE:
        logger.warning("code sandbox unavailable: %s", result.message)
    return ToolResult(
        result_text(result, limit, block.restarted),
        result.status.value,
        result.seconds,
        code_lines,
        is_empty(result),
        "" if result.ok else error_name(result.stderr),
    )
