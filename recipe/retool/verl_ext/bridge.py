"""Where verl 0.6.1 and 0.9.1 differ for the agent loop, the tool and the data set of the recipe.

* 0.9.1 passes the trajectory's ``agent_data`` to the tool, 0.6.1 passes nothing. There the counters travel in
  a context variable: verl runs each trajectory in an asyncio task, and the calls of its tools are children
  of it.
* 0.9.1 gives ``num_turns`` to the reward, 0.6.1 only what stands in ``extra_fields`` of the loop's output.
* 0.9.1 knows tools from a Python file (``function_tool_path``).
* 0.9.1 has continuous-token builders for the boundaries between turns, one for each family of models.
* 0.9.1's server takes a limit of tokens for each request, 0.6.1's refuses one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from recipe.retool.verl_ext.context_tokens import SuffixBuilder

_TRAJECTORY: ContextVar[dict[str, Any] | None] = ContextVar("retool_trajectory", default=None)


@contextmanager
def trajectory(fields: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make ``fields`` those of the trajectory that runs inside."""
    token = _TRAJECTORY.set(fields)
    try:
        yield fields
    finally:
        _TRAJECTORY.reset(token)


def fields_of(agent_data: Any) -> dict[str, Any] | None:
    """The extra fields of a trajectory; None outside of any."""
    fields = getattr(agent_data, "extra_fields", None)
    return fields if isinstance(fields, dict) else _TRAJECTORY.get()


def is_old(loop: Any) -> bool:
    """Whether an agent loop is one of verl 0.6.1 (there its class is initialised apart from its objects)."""
    return hasattr(loop, "init_class")


def turns_for_the_reward(loop: Any, num_turns: int) -> dict[str, Any]:
    """``num_turns``, where verl does not give it to the reward."""
    return {"num_turns": num_turns} if is_old(loop) else {}


def token_limit(loop: Any, room: int) -> dict[str, Any]:
    """The sampling parameter that keeps a turn within the response length, where the server takes one."""
    return {} if is_old(loop) else {"max_tokens": room}


def token_builder(loop: Any) -> Any:
    """What renders prompts and tool turns: ``build_initial_tokens`` and ``merge_context_tokens``."""
    found = getattr(loop, "continuous_token_builder", None)
    return found or SuffixBuilder(loop.tokenizer, getattr(loop, "apply_chat_template_kwargs", {}))


def renders_tools_alone(builder: Any) -> bool:
    """Whether a builder makes a tool turn of its texts alone, by the chat template, not of the dialogue."""
    if isinstance(builder, SuffixBuilder):
        return True
    from verl.utils.tokenizer.continuous_token import ContinuousTokenBuilder

    return bool(type(builder)._tokenize_tool_group is ContinuousTokenBuilder._tokenize_tool_group)


def tool_source(dataset: Any) -> str | None:
    """Where the tools of a data set come from; None when it has none."""
    return dataset.tool_config_path or getattr(dataset, "function_tool_path", None)
