"""Asks for every answer that is not there yet: bounded concurrency, one line on disk for each."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from recipe.retool.env.transcript import SEGMENTS
from recipe.retool.errors import StageError
from recipe.retool.evaluation.client import NotGenerated
from recipe.retool.evaluation.problems import Problem
from recipe.retool.evaluation.store import Store
from recipe.retool.report.behaviour import CALL_SECONDS

_TRIES = 2  # of an answer, beside the retries of each request; also when the sandbox failed it
_IN_A_ROW = 16  # failed answers without a good one between them that end an evaluation


@dataclass(frozen=True)
class Played:
    """One trajectory.

    Attributes:
        prompt: Text of the prompt, special tokens left out.
        output: Text of the response, tool results included.
        fields: Counters, ``model_text``, segments, seconds of calls: ``extra_fields`` of the agent loop.
    """

    prompt: str
    output: str
    fields: Mapping[str, Any]


class Player(Protocol):
    """Plays one trajectory of the model."""

    async def play(self, problem: Problem, seed: int) -> Played:
        """Raises NotGenerated when the server gave no answer."""
        ...


Score = Callable[..., Mapping[str, Any]]  # compute_score: recipe/retool/reward/score.py


@dataclass
class Driver:
    """One evaluation under way.

    Attributes:
        player: Plays trajectories.
        score: The reward function.
        store: Where answers go.
        seed: Seed of the evaluation; each answer has its own, made of it.
        failures: Why answers are missing.
    """

    player: Player
    score: Score
    store: Store
    seed: int
    failures: list[str]
    _in_a_row: int = 0

    async def run(self, problems: Sequence[Problem], samples: int, concurrency: int) -> None:
        """Ask for what is missing; answers of one problem follow each other, for the prefix cache.

        Raises:
            StageError: The server refuses, or so many answers in a row failed that all would.
        """
        done = self.store.done()
        jobs = iter([(p, s) for p in problems for s in range(samples) if (p.doc_id, s) not in done])
        workers = [asyncio.create_task(self._work(jobs)) for _ in range(concurrency)]
        try:
            await asyncio.gather(*workers)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, jobs: Iterator[tuple[Problem, int]]) -> None:
        for problem, sample in jobs:
            row = await self._answer(problem, sample)
            if row is not None:
                self._in_a_row = 0
                self.store.append(row)

    async def _answer(self, problem: Problem, sample: int) -> dict[str, Any] | None:
        """One line of ``samples.jsonl``; None when the answer cannot be had."""
        reason = ""
        for attempt in range(_TRIES):
            if attempt:
                await asyncio.sleep(1.0)
            try:
                played = await self.player.play(problem, answer_seed(self.seed, problem.doc_id, sample))
            except NotGenerated as error:
                if error.fatal:
                    raise StageError(str(error)) from error
                reason = str(error)
                continue
            if not played.fields["sandbox_unavailable"]:
                return await self._scored(problem, sample, played)
            reason = "the sandbox did not answer"  # not the model's fault, so it must not count against it
        self._fail(f"problem {problem.doc_id}, answer {sample}: {reason}")
        return None

    def _fail(self, reason: str) -> None:
        self.failures.append(reason)
        self._in_a_row += 1
        if self._in_a_row >= _IN_A_ROW:
            raise StageError(f"{_IN_A_ROW} answers in a row could not be had; the last: {reason}")

    async def _scored(self, problem: Problem, sample: int, played: Played) -> dict[str, Any]:
        info = {**(problem.row.get("extra_info") or {}), **played.fields}
        scored = await asyncio.to_thread(
            self.score,
            data_source=problem.data_source,
            solution_str=played.output,
            ground_truth=problem.gold,
            extra_info=info,
        )
        return {
            "doc_id": problem.doc_id,
            "sample": sample,
            "uid": f"{problem.doc_id}_{sample}_0",
            "data_source": problem.data_source,
            "input": played.prompt,
            "output": played.output,
            "gts": str(problem.gold),
            **scored,
            "num_turns": float(info["num_turns"]),
            CALL_SECONDS: [round(seconds, 6) for seconds in played.fields.get(CALL_SECONDS) or ()],
            SEGMENTS: [list(segment) for segment in played.fields.get(SEGMENTS) or ()],
        }


def answer_seed(seed: int, doc_id: str, sample: int) -> int:
    """Seed of one answer, 31 bits: the same in every run, whatever was asked before it."""
    digest = hashlib.sha256(f"{seed}/{doc_id}/{sample}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1
