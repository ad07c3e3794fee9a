"""The recipe's tools as tools of verl.

verl's own agent loop creates, executes and releases a tool once per *call*, and one tool object serves all
trajectories of a worker; so these classes keep nothing of a trajectory but weakly, and what is counted goes
to the trajectory's ``agent_data.extra_fields["tool_stats"]``. An agent loop that keeps a session of its own
calls ``.tool``, which knows nothing of verl.
"""

import asyncio
import logging
import weakref
from typing import Any, ClassVar

from verl.tools.base_tool import BaseTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse
from verl.utils.rollout_trace import rollout_trace_op

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.types import ExecutionStatus
from recipe.retool.tools.interpreter import BAD_ARGUMENTS
from recipe.retool.tools.registry import ConfiguredTool, tool_class
from recipe.retool.verl_ext.bridge import fields_of

logger = logging.getLogger(__name__)
STATS_FIELD = "tool_stats"
_COUNTER_OF = {
    ExecutionStatus.OK.value: "ok",
    ExecutionStatus.TIMEOUT.value: "timeouts",
    ExecutionStatus.UNAVAILABLE.value: "unavailable",
    BAD_ARGUMENTS: "bad_arguments",
}
_OTHER_COUNTER = "errors"  # exception, memory or output limit, crashed, killed, refused: its own fault


class RegistryTool(BaseTool):
    """Any tool of :mod:`recipe.retool.tools.registry`.

    Args:
        config: ``tool``: its name or ``pkg://module:Class``; verl's ``type``; and the tool's own keys.
        tool_schema: Leave it out of the config. A schema that differs from the tool's own is a ConfigError:
            the model would meet two descriptions of one tool.

    Attributes:
        tool: The tool itself, a :class:`recipe.retool.env.calls.Tool`.
    """

    default: ClassVar[str] = ""

    def __init__(self, config: dict[str, Any], tool_schema: OpenAIFunctionToolSchema | None) -> None:
        name = config.get("tool") or self.default
        if not name:
            raise ConfigError("tool config: set `tool` to the name of a tool, such as check_equal")
        kind = tool_class(str(name))
        self._schema = OpenAIFunctionToolSchema.model_validate(kind.schema)
        if tool_schema is not None and _plain(tool_schema) != _plain(self._schema):
            raise ConfigError(
                f"tool_schema differs from that of the tool {name!r}: remove it from the config"
            )
        super().__init__(config, tool_schema)
        self.tool: ConfiguredTool = kind.from_config(config)
        self._sessions: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()

    def get_openai_tool_schema(self) -> OpenAIFunctionToolSchema:
        """The tool's own schema."""
        return self._schema

    @rollout_trace_op
    async def execute(
        self, instance_id: str, parameters: dict[str, Any], **kwargs: Any
    ) -> tuple[ToolResponse, float, dict[str, Any]]:
        """Run one call. A bad call or a dead sandbox is a text to the model, never an exception.

        Returns:
            The response, a step reward of 0 and metrics of the call.
        """
        agent_data = kwargs.get("agent_data")
        session = self._session_of(agent_data)
        if session is not None:
            outcome = await self.tool.call(parameters, session)
        else:
            session = Session(instance_id)
            try:
                outcome = await self.tool.call(parameters, session)
            finally:
                await session.close()
        fields = fields_of(agent_data)
        if fields is not None:
            count(fields.setdefault(STATS_FIELD, new_stats()), outcome)
        metrics = {"kind": outcome.kind, "seconds": outcome.seconds, "code_lines": outcome.code_lines}
        return ToolResponse(text=outcome.text), 0.0, metrics

    def _session_of(self, agent_data: Any) -> Session | None:
        """The session of a trajectory, closed when verl lets go of its data: nothing else tells of the end.

        None where verl does not say whose call it is (0.6.1): what a session holds then ends with the call.
        """
        try:
            session = self._sessions.get(agent_data)
        except TypeError:
            return None
        if session is None:
            session = self._sessions[agent_data] = Session(str(getattr(agent_data, "request_id", "")))
            weakref.finalize(agent_data, _close_soon, session, asyncio.get_running_loop()).atexit = False
        return session


class CodeInterpreterTool(RegistryTool):
    """Runs Python code on a sandbox server; ``config``: see ``recipe.retool.tools.settings``."""

    default = "code_interpreter"


def _close_soon(session: Session, loop: asyncio.AbstractEventLoop) -> None:
    """Have a session closed on its loop; where that is gone, the sandbox ends what nobody uses."""
    if session.held and not loop.is_closed():
        loop.call_soon_threadsafe(lambda: loop.create_task(_close(session)))


async def _close(session: Session) -> None:
    try:
        await session.close()
    except Exception:
        logger.exception("a session could not be closed")


def new_stats() -> dict[str, Any]:
    """Counters of one trajectory, all at zero."""
    names = ("calls", "ok", "errors", "timeouts", "bad_arguments", "unavailable", "unknown", "code_lines")
    return {**dict.fromkeys(names, 0), "seconds": 0.0}


def count(stats: dict[str, Any], outcome: ToolResult) -> None:
    """Add one call to the counters of its trajectory."""
    stats["calls"] += 1
    stats[_COUNTER_OF.get(outcome.kind.split(":")[0], _OTHER_COUNTER)] += 1
    stats["code_lines"] += outcome.code_lines
    stats["seconds"] += outcome.seconds


def _plain(schema: OpenAIFunctionToolSchema) -> dict[str, Any]:
    return schema.model_dump(exclude_unset=True, exclude_none=True)
