"""The agent loop: any registered environment in verl's rollout, next to verl's own ``tool_agent``.

Rows choose it by their ``agent_name`` column, configs by ``rollout.agent.default_agent_loop``. What it does
and verl's does not: every format of ``retool.env.name``; an answer to each call, malformed ones too; budgets
with a flag of their own; no turn exceeds the response length; counters for reward and metrics; and
``model_text``, the decoded tokens with mask 1, which is all that the reward scores, so that an answer printed
by a tool earns nothing.
"""

from typing import Any, ClassVar
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput
from verl.experimental.agent_loop.tool_agent_loop import ToolAgentLoop
from verl.utils.rollout_trace import rollout_trace_op

from recipe.retool.env.calls import Session, close_session
from recipe.retool.env.episode import Episode
from recipe.retool.verl_ext.trajectory import Trajectory
from recipe.retool.verl_ext.workshop import Workshop


class ReToolAgentLoop(ToolAgentLoop):
    """``agent_name: retool_agent`` (configs/agent/retool_agent.yaml)."""

    _workshop: ClassVar[Workshop | None] = None

    @rollout_trace_op
    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **kwargs: Any) -> AgentLoopOutput:
        """One trajectory.

        Args:
            sampling_params: verl's; stop strings of the environment are added.
            priority: verl's number of the sample, for ``rollout.full_determinism``.
            kwargs: The row: ``raw_prompt``, ``extra_info``, ``tools_kwargs``.

        Returns:
            The tokens; ``extra_fields`` hold the counters (recipe/retool/env/counters.py), ``model_text``
            and ``call_seconds``.
        """
        shop = self._shop()
        tools, schemas = shop.chosen(kwargs.get("extra_info"))
        rollout = self.config.actor_rollout_ref.rollout
        name = f"det-{priority}" if rollout.get("full_determinism") else uuid4().hex
        episode = Episode(tools, shop.budget, Session(name, given=kwargs.get("tools_kwargs") or {}))
        trajectory = Trajectory(self, shop, episode, dict(sampling_params))
        try:
            await trajectory.play(list(kwargs["raw_prompt"]), schemas)
        finally:
            await close_session(episode.session)
        return trajectory.output()

    def _shop(self) -> Workshop:
        shop = ReToolAgentLoop._workshop
        if shop is None or shop.config is not self.config:
            shop = ReToolAgentLoop._workshop = Workshop.of(self)
        return shop
