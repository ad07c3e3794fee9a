"""The process that asks for the answers of an evaluation.

``python -m recipe.retool.verl_ext.evaluate_main FOLDER``: the folder holds ``config.yaml`` (a whole RL
config) and ``job.json`` (:class:`Job`); ``retool evaluate`` writes both, and watches ``samples.jsonl`` grow.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from recipe.retool.errors import RetoolError, StageError
from recipe.retool.evaluation.client import Client
from recipe.retool.evaluation.driver import Driver, Player
from recipe.retool.evaluation.problems import Problem, count_rows, read_problems
from recipe.retool.evaluation.store import Store

JOB = "job.json"
_SHOWN = 5


@dataclass(frozen=True)
class Job:
    """One evaluation.

    Attributes:
        url: Base address of the server.
        model: Name of the model there.
        tokenizer: Folder or hub name of its tokenizer; empty for chat messages.
        files: Parquet files.
        samples: Answers for each problem.
        seed: Seed of the evaluation.
        concurrency: Trajectories at a time.
        sampling: Sampling parameters of a turn.
    """

    url: str
    model: str
    tokenizer: str
    files: tuple[str, ...]
    samples: int
    seed: int
    concurrency: int
    sampling: Mapping[str, Any]


def main() -> None:
    """Entry."""
    folder = Path(sys.argv[1])
    config = OmegaConf.load(folder / "config.yaml")
    job = Job(**json.loads((folder / JOB).read_text()))
    try:
        asyncio.run(evaluate(config, job, Store(folder)))
    except RetoolError as error:
        sys.exit(f"recipe.retool.errors.{type(error).__name__}: {error}")


async def evaluate(config: Any, job: Job, store: Store) -> None:
    """Ask for every answer that is missing.

    Raises:
        StageError: Some could not be had; a further run asks for those alone.
    """
    from verl.trainer.ppo.reward import get_custom_reward_fn

    problems, player = _by_tokens(config, job) if job.tokenizer else _by_messages(config, job)
    given, most = count_rows(job.files), config.data.get("val_max_samples", -1)
    store.note(
        problems=len(problems),
        left_out=(min(given, most) if most > 0 else given) - len(problems),
        samples=job.samples,
        answers=len(problems) * job.samples,
    )
    driver = Driver(player, get_custom_reward_fn(config), store, job.seed, failures=[])
    await driver.run(problems, job.samples, job.concurrency)
    if driver.failures:
        shown = "; ".join(driver.failures[:_SHOWN])
        raise StageError(
            f"{len(driver.failures)} answers could not be had ({shown}). Those that are there are kept: "
            "start again to ask for the missing ones"
        )


def _by_tokens(config: Any, job: Job) -> tuple[list[Problem], Player]:
    from transformers import AutoConfig
    from verl.utils import hf_tokenizer

    from recipe.retool.verl_ext.token_player import TokenPlayer, validation_problems

    trust = bool(config.data.get("trust_remote_code", False))
    tokenizer = hf_tokenizer(job.tokenizer, trust_remote_code=trust)
    shape = AutoConfig.from_pretrained(job.tokenizer, trust_remote_code=trust)
    player = TokenPlayer(config, Client(job.url, job.model), tokenizer, job.sampling, shape.model_type)
    return validation_problems(config, job.files, tokenizer), player


def _by_messages(config: Any, job: Job) -> tuple[list[Problem], Player]:
    from verl.tools.tool_registry import initialize_tools_from_config

    from recipe.retool.env.registry import env_of
    from recipe.retool.env.settings import Budget
    from recipe.retool.evaluation.chat import ChatPlayer
    from recipe.retool.verl_ext.foreign_tool import as_tool
    from recipe.retool.verl_ext.plain import plain

    turns = config.actor_rollout_ref.rollout.multi_turn
    given = initialize_tools_from_config(turns.tool_config_path)
    tools = {tool.name: as_tool(tool) for tool in given}
    schemas = {tool.name: tool.tool_schema.model_dump(exclude_none=True) for tool in given}
    options = plain(config.retool)
    budget = Budget.from_config(options["budget"], turns.max_assistant_turns, turns.max_user_turns)
    env = env_of(options["env"], tools)
    player = ChatPlayer(Client(job.url, job.model), env, tools, schemas, budget, job.sampling)
    problems = read_problems(job.files)
    most = config.data.get("val_max_samples", -1)
    return problems[:most] if most > 0 else problems, player


if __name__ == "__main__":
    main()
