"""The values that pass between a model's text, an environment and its tools."""

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

logger = logging.getLogger(__name__)

# Why a call cannot be run; empty when it can. Each has a counter of its own (``tool_<problem>``).
MALFORMED = "malformed"
INCOMPLETE = "incomplete"
UNKNOWN = "unknown"
NOT_RUN = "not_run"


@dataclass(frozen=True)
class ParsedCall:
    """One call as it stands in a turn.

    Attributes:
        start: Where the call begins in the turn's text, in characters.
        name: Name of the tool; empty when it cannot be told.
        arguments: The decoded arguments, whatever the model put there.
        problem: ``malformed`` or ``incomplete``; empty for a call that can be run.
        message: What the model is told about the problem.
    """

    start: int
    name: str = ""
    arguments: Any = None
    problem: str = ""
    message: str = ""


@dataclass(frozen=True)
class ToolResult:
    """What one call came to.

    Attributes:
        text: What the model sees; never empty.
        kind: A value of ``recipe.retool.sandbox.types.ExecutionStatus``, ``bad_arguments:<kind>``, or a
            problem of this module.
        seconds: Time of the call in seconds, waiting included.
        code_lines: Non-blank lines of code in the call.
        empty: The program printed nothing.
        error: Name of the exception that ended the program ("NameError"); empty without one.
    """

    text: str
    kind: str
    seconds: float = 0.0
    code_lines: int = 0
    empty: bool = False
    error: str = ""


class Tool(Protocol):
    """A tool of an environment; one object serves every trajectory of a process."""

    async def call(self, arguments: Any, session: "Session") -> ToolResult:
        """Run one call. A bad call is a text to the model; raises nothing but CancelledError."""
        ...


@dataclass
class Session:
    """What tools keep for one trajectory; whoever makes a session closes it.

    Attributes:
        id: Unique name of the trajectory.
        held: Objects with an ``async close()``, by the name of the tool that put them there.
        given: What the row of the data hands its tools, by name (verl's ``tools_kwargs``).
    """

    id: str = ""
    held: dict[str, Any] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)

    async def close(self) -> None:
        """Close what tools hold; the first error is raised after all were closed."""
        held, self.held = list(self.held.values()), {}
        errors = []
        for resource in held:
            try:
                await resource.close()
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]


async def close_session(session: Session) -> None:
    """End what tools hold, whatever ended the trajectory; raises nothing of the tools'."""
    try:
        await asyncio.shield(session.close())
    except Exception as error:  # a sandbox that is gone holds nothing any more
        logger.warning("a tool session could not be closed: %s", error)


def chosen_names(extra_info: Mapping[str, Any] | None, known: Iterable[str]) -> list[str]:
    """Names of the tools of one row (``extra_info.tool_selection``, as in verl's loop); all without one."""
    wanted = (extra_info or {}).get("tool_selection")
    if wanted is None or len(wanted) == 0:
        return list(known)
    there = set(known)
    return [name for name in ([wanted] if isinstance(wanted, str) else wanted) if name in there]


class Step(NamedTuple):
    """The outcome of one turn of the model.

    Attributes:
        tool_response: Text for the model; empty when there is nothing to say.
        success: Every call of the turn was run and ended without an error (also true without any call).
        active: The dialogue goes on: the model gets another turn.
    """

    tool_response: str
    success: bool
    active: bool


Tools = Mapping[str, Tool]
