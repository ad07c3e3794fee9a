"""A runner behind a policy: a program that the policy refuses is answered without being run."""

import asyncio

from recipe.retool.sandbox.policy import Policy
from recipe.retool.sandbox.protocol import RunOutcome, RunRequest
from recipe.retool.sandbox.session import End, Session, SessionRequest
from recipe.retool.sandbox.sessions import ProgramRunner
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus


class PolicyRunner:
    """A :class:`recipe.retool.sandbox.sessions.SessionRunner` too, that asks a policy first.

    Args:
        runner: Runs what the policy lets through; closed with this one.
        policy: What programs may import and call.
    """

    def __init__(self, runner: ProgramRunner, policy: Policy) -> None:
        self._runner = runner
        self._policy = policy

    @property
    def isolation(self) -> tuple[str, ...]:
        """The mechanisms of the runner behind this one."""
        return tuple(getattr(self._runner, "isolation", ()))

    async def run(self, request: RunRequest) -> RunOutcome:
        """Run one program, or refuse it."""
        refusal = await _refusal(self._policy, request.code)
        return await self._runner.run(request) if refusal is None else RunOutcome(refusal)

    async def open_session(self, request: SessionRequest) -> Session:
        """Start a session each block of which the policy looks at."""
        return _PolicySession(await self._runner.open_session(request), self._policy)

    async def aclose(self) -> None:
        """Close the runner behind this one."""
        await self._runner.aclose()


class _PolicySession:
    """A :class:`recipe.retool.sandbox.session.Session`; a block that is refused changes nothing in it."""

    def __init__(self, session: Session, policy: Policy) -> None:
        self._session, self._policy = session, policy

    @property
    def ended(self) -> "asyncio.Future[End]":
        """As of the session behind this one."""
        return self._session.ended

    @property
    def lost(self) -> str:
        """As of the session behind this one."""
        return self._session.lost

    async def run(self, code: str, timeout: float) -> ExecutionResult:
        """Run one block, or refuse it."""
        refusal = await _refusal(self._policy, code)
        return await self._session.run(code, timeout) if refusal is None else refusal

    async def close(self) -> None:
        """Close the session behind this one."""
        await self._session.close()


async def _refusal(policy: Policy, code: str) -> ExecutionResult | None:
    # In a thread: parsing a megabyte of code takes a second.
    text = await asyncio.to_thread(policy.violation, code)
    return None if text is None else refused(text)


def refused(text: str) -> ExecutionResult:
    """The result of a program that was not run: a failed run whose standard error says why."""
    return ExecutionResult(ExecutionStatus.REFUSED, stderr=text + "\n", return_code=1)
