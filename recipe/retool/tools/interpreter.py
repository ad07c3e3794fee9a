"""The code interpreter without any engine: arguments in, text for the model and a verdict out."""

import logging
from dataclasses import dataclass
from typing import Any, Protocol

from recipe.retool.sandbox.snippet import echo_last_expression
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.sandbox.wire import unavailable
from recipe.retool.tools.arguments import BadArguments, parse_arguments
from recipe.retool.tools.result import DEFAULT_LIMIT, result_text

logger = logging.getLogger(__name__)
BAD_ARGUMENTS = "bad_arguments"


class SandboxClient(Protocol):
    """Whatever runs a program and never raises."""

    async def run(self, code: str) -> ExecutionResult:
        """Run one program."""
        ...


@dataclass(frozen=True)
class ToolOutcome:
    """What one tool call came to.

    Attributes:
        text: What the model sees; never empty.
        kind: A value of :class:`ExecutionStatus`, or ``bad_arguments:<kind>``.
        seconds: Time of the execution in seconds; 0 when there was none.
        code_lines: Non-blank lines of the model's code.
    """

    text: str
    kind: str
    seconds: float = 0.0
    code_lines: int = 0


class CodeInterpreter:
    """Executes calls of the ``code_interpreter`` tool.

    Args:
        client: Runs the programs.
        limit: Most characters of a result text.
    """

    def __init__(self, client: SandboxClient, limit: int = DEFAULT_LIMIT) -> None:
        self._client = client
        self._limit = limit

    async def call(self, arguments: Any) -> ToolOutcome:
        """Execute one call, whatever the model put into it. Raises nothing but CancelledError."""
        checked = parse_arguments(arguments)
        if isinstance(checked, BadArguments):
            return ToolOutcome(checked.text, f"{BAD_ARGUMENTS}:{checked.kind}")
        lines = sum(1 for line in checked.code.splitlines() if line.strip())
        try:
            result = await self._client.run(echo_last_expression(checked.code))
        except Exception as error:
            logger.exception("the sandbox client raised; counted as unavailable")
            result = unavailable(f"{type(error).__name__}: {error}")
        if result.status is ExecutionStatus.UNAVAILABLE:
            logger.warning("code sandbox unavailable: %s", result.message)
        return ToolOutcome(result_text(result, self._limit), result.status.value, result.seconds, lines)
