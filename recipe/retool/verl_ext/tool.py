"""The code interpreter as a tool of verl's agent loop.

verl creates, executes and releases a tool once per *call*, and one tool object serves all trajectories of
a worker; so this class keeps no state, and what is counted per trajectory goes to the trajectory's
``agent_data.extra_fields["tool_stats"]``.
"""

from typing import Any

from verl.tools.base_tool import BaseTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse
from verl.utils.rollout_trace import rollout_trace_op

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.types import ExecutionStatus
from recipe.retool.tools.interpreter import BAD_ARGUMENTS, ToolOutcome
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA
from recipe.retool.tools.settings import InterpreterSettings
from recipe.retool.verl_ext.bridge import fields_of

STATS_FIELD = "tool_stats"
_COUNTER_OF = {
    ExecutionStatus.OK.value: "ok",
    ExecutionStatus.TIMEOUT.value: "timeouts",
    ExecutionStatus.UNAVAILABLE.value: "unavailable",
    BAD_ARGUMENTS: "bad_arguments",
}
_OTHER_COUNTER = "errors"  # exception, memory or output limit, crashed, killed, refused: its own fault


class CodeInterpreterTool(BaseTool):
    """Runs Python code on a sandbox server.

    Args:
        config: Keys of :class:`recipe.retool.tools.settings.InterpreterSettings`, and verl's ``type``.
        tool_schema: Leave it out of the config. A schema that differs from the one that the data was
            made with is a ConfigError: the model would meet two descriptions of one tool.
    """

    def __init__(self, config: dict[str, Any], tool_schema: OpenAIFunctionToolSchema | None) -> None:
        if tool_schema is not None and _plain(tool_schema) != CODE_INTERPRETER_SCHEMA:
            raise ConfigError(
                "tool_schema differs from recipe.retool.tools.schema: remove it from the config"
            )
        super().__init__(config, tool_schema)
        self._interpreter = InterpreterSettings.from_config(config).interpreter()
        self.tool = _Shim(self._interpreter)

    def get_openai_tool_schema(self) -> OpenAIFunctionToolSchema:
        """The one schema of the recipe."""
        return OpenAIFunctionToolSchema.model_validate(CODE_INTERPRETER_SCHEMA)

    @rollout_trace_op
    async def execute(
        self, instance_id: str, parameters: dict[str, Any], **kwargs: Any
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        """Run the code of one call. A bad call or a dead sandbox is a text to the model, never an exception.

        Returns:
            The response, a step reward of 0 and metrics of the call.
        """
        outcome = await self._interpreter.call(parameters)
        fields = fields_of(kwargs.get("agent_data"))
        if fields is not None:
            count(fields.setdefault(STATS_FIELD, new_stats()), outcome)
        metrics = {"kind": outcome.kind, "seconds": outcome.seconds, "code_lines": outcome.code_lines}
        return ToolResponse(text=outcome.text), 0.0, metrics


def new_stats() -> dict[str, Any]:
    """Counters of one trajectory, all at zero."""
    names = ("calls", "ok", "errors", "timeouts", "bad_arguments", "unavailable", "unknown", "code_lines")
    return {**dict.fromkeys(names, 0), "seconds": 0.0}


def count(stats: dict[str, Any], outcome: ToolOutcome) -> None:
    """Add one call to the counters of its trajectory."""
    stats["calls"] += 1
    stats[_COUNTER_OF.get(outcome.kind.split(":")[0], _OTHER_COUNTER)] += 1
    stats["code_lines"] += outcome.code_lines
    stats["seconds"] += outcome.seconds


def _plain(schema: OpenAIFunctionToolSchema) -> dict[str, Any]:
    return schema.model_dump(exclude_unset=True, exclude_none=True)


class _Shim:
    def __init__(self, interpreter: Any) -> None:
        self._interpreter = interpreter

    async def call(self, arguments: Any, session: Any) -> Any:
        from recipe.retool.env.calls import ToolResult

        outcome = await self._interpreter.call(arguments)
        return ToolResult(outcome.text, outcome.kind, outcome.seconds, outcome.code_lines)
