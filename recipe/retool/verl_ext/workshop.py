"""What every trajectory of a process shares: the environment, its tools, the settings.

verl makes an agent loop object for each trajectory; reading configs and wrapping tools each time would cost
more than a turn of the loop itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omegaconf import OmegaConf

from recipe.retool.env.base import ToolEnv
from recipe.retool.env.calls import Tools, chosen_names
from recipe.retool.env.guard import Guard
from recipe.retool.env.registry import env_of
from recipe.retool.env.settings import Budget, Masks
from recipe.retool.verl_ext.bridge import renders_tools_alone, token_builder
from recipe.retool.verl_ext.foreign_tool import as_tool
from recipe.retool.verl_ext.plain import plain
from recipe.retool.verl_ext.tool_frame import ToolFrame


@dataclass(frozen=True)
class Workshop:
    """The parts that trajectories are made with.

    Attributes:
        config: The config that all of it was read from.
        env: The environment.
        tools: All tools by name.
        schemas: Their schemas by name.
        budget: Limits of a trajectory.
        masks: Which trajectories are not trained on.
        builder: Renders prompts and tool turns to tokens.
        template_kwargs: Further arguments of the chat template.
    """

    config: Any
    env: ToolEnv
    tools: Tools
    schemas: Mapping[str, Mapping[str, Any]]
    budget: Budget
    masks: Masks
    builder: Any
    template_kwargs: Mapping[str, Any]
    _frames: dict[tuple[str, ...], ToolFrame | None] = field(default_factory=dict)

    @classmethod
    def of(cls, loop: Any) -> "Workshop":
        """Make the parts for one of verl's tool agent loops.

        Raises:
            ConfigError: A setting of ``retool`` is unknown or has the wrong type.
        """
        options = plain(OmegaConf.select(loop.config, "retool")) or {}
        tools = {name: as_tool(tool) for name, tool in loop.tools.items()}
        return cls(
            config=loop.config,
            env=env_of(options.get("env"), tools, Guard.of(loop.tokenizer)),
            tools=tools,
            schemas=dict(zip(loop.tools, loop.tool_schemas, strict=True)),
            budget=Budget.from_config(options.get("budget"), loop.max_assistant_turns, loop.max_user_turns),
            masks=Masks.from_config(options.get("masks")),
            builder=token_builder(loop),
            template_kwargs=getattr(loop, "apply_chat_template_kwargs", None) or {},
        )

    def frame(self, tokenizer: Any, schemas: Sequence[Mapping[str, Any]] | None) -> ToolFrame | None:
        """The frame of tool turns under these schemas; None where tool turns depend on the dialogue."""
        names = tuple(str(schema["function"]["name"]) for schema in schemas or ())
        if names not in self._frames:
            alone = renders_tools_alone(self.builder)
            made = ToolFrame(tokenizer, self.builder, schemas, self.template_kwargs) if alone else None
            self._frames[names] = made
        return self._frames[names]

    def chosen(self, extra_info: Mapping[str, Any] | None) -> tuple[Tools, list[Mapping[str, Any]]]:
        """The tools of one row and their schemas."""
        names = chosen_names(extra_info, self.tools)
        return {name: self.tools[name] for name in names}, [self.schemas[name] for name in names]
