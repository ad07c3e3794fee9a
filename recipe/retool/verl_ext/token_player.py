"""Trajectories of an evaluation by the agent loop of training: token in, token out, over HTTP."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recipe.retool.evaluation.client import Client
from recipe.retool.evaluation.driver import Played
from recipe.retool.evaluation.problems import Problem, name_problems
from recipe.retool.verl_ext.loop_maker import dataset_class, loop_maker

_SEEDS = 1 << 31


class TokenEngine:
    """In the place of verl's server manager.

    Args:
        client: The server.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def generate(
        self, request_id: str, *, prompt_ids: Sequence[int], sampling_params: Mapping[str, Any], **_: Any
    ) -> Any:
        """One turn; each has a seed of its own, made of that of the answer."""
        from verl.workers.rollout.replica import TokenOutput

        sampling = {**sampling_params, "seed": (sampling_params["seed"] + len(prompt_ids)) % _SEEDS}
        made = await self._client.tokens(prompt_ids, sampling)
        return TokenOutput(token_ids=list(made.ids), stop_reason="completed")


class TokenPlayer:
    """Plays trajectories of the agent loop that the config names.

    Args:
        config: A whole RL config.
        client: The server.
        tokenizer: The model's.
        sampling: Sampling parameters of a turn; the loop adds stop strings and the limit of tokens.
        model_type: Of the model's ``config.json``.
    """

    def __init__(
        self,
        config: Any,
        client: Client,
        tokenizer: Any,
        sampling: Mapping[str, Any],
        model_type: str | None = None,
    ) -> None:
        self._new_loop: Callable[[], Any] = loop_maker(config, TokenEngine(client), tokenizer, model_type)
        self._tokenizer, self._sampling = tokenizer, dict(sampling)

    async def play(self, problem: Problem, seed: int) -> Played:
        """One trajectory; NotGenerated when the server gives no answer."""
        row = problem.row
        output = await self._new_loop().run(
            {**self._sampling, "seed": seed},
            raw_prompt=list(row["raw_prompt"]),
            tools_kwargs=row.get("tools_kwargs") or {},
            extra_info=row.get("extra_info") or {},
        )
        fields = {**output.extra_fields, "num_turns": output.num_turns}
        return Played(self._text(output.prompt_ids), self._text(output.response_ids), fields)

    def _text(self, ids: Sequence[int]) -> str:
        """As verl decodes prompts and responses for the reward and for its dumps."""
        return str(self._tokenizer.decode(ids, skip_special_tokens=True))


def validation_problems(config: Any, files: Sequence[str], tokenizer: Any) -> list[Problem]:
    """The problems that a validation with this config takes: the same data set, filters, ``max_samples``."""
    rows = dataset_class(config)(
        data_files=list(files),
        tokenizer=tokenizer,
        config=config.data,
        max_samples=config.data.get("val_max_samples", -1),
    )
    return name_problems(rows[number] for number in range(len(rows)))
