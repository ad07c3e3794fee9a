"""A runner behind a policy: a program that the policy refuses is answered without being run."""

import asyncio

from recipe.retool.sandbox.policy import Policy
from recipe.retool.sandbox.protocol import Runner, RunOutcome, RunRequest
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus


class PolicyRunner:
    """A :class:`recipe.retool.sandbox.protocol.Runner` that asks a policy first.

    Args:
        runner: Runs what the policy lets through; closed with this one.
        policy: What programs may import and call.
    """

    def __init__(self, runner: Runner, policy: Policy) -> None:
        self._runner = runner
        self._policy = policy

    @property
    def isolation(self) -> tuple[str, ...]:
        """The mechanisms of the runner behind this one."""
        return tuple(getattr(self._runner, "isolation", ()))

    async def run(self, request: RunRequest) -> RunOutcome:
        """Run one program, or refuse it."""
        # In a thread: parsing a megabyte of code takes a second.
        text = await asyncio.to_thread(self._policy.violation, request.code)
        return await self._runner.run(request) if text is None else RunOutcome(refused(text))

    async def aclose(self) -> None:
        """Close the runner behind this one."""
        await self._runner.aclose()


def refused(text: str) -> ExecutionResult:
    """The result of a program that was not run: a failed run whose standard error says why."""
    return ExecutionResult(ExecutionStatus.REFUSED, stderr=text + "\n", return_code=1)
