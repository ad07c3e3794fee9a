"""``ReToolTrainer``: reinforcement learning from Python, for people who come from Transformers.

It writes the data set to a parquet file, composes the same Hydra config and runs the same stages as
``retool rl`` and ``retool merge``: what a notebook starts can be resumed, and repeated, on the command line.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recipe.retool.errors import ConfigError
from recipe.retool.records.metrics_log import StepMetrics, merge_attempts
from recipe.retool.stages.commands import assign
from recipe.retool.stages.merge import run_merge
from recipe.retool.stages.rl import run_rl
from recipe.retool.stages.trainer_data import Row, write_rows
from recipe.retool.stages.trainer_reward import importable, reward_overrides

Reward = Mapping[str, Any] | Callable[..., float] | None
_KEY_OF = {
    "max_turns": "actor_rollout_ref.rollout.multi_turn.max_assistant_turns",
    "temperature": "actor_rollout_ref.rollout.temperature",
    "max_prompt_length": "data.max_prompt_length",
    "max_completion_length": "data.max_response_length",
    "mask_truncated_completions": "retool.masks.truncated",
    "num_generations": "actor_rollout_ref.rollout.n",
    "learning_rate": "actor_rollout_ref.actor.optim.lr",
    "max_steps": "trainer.total_training_steps",
}


@dataclass(frozen=True)
class Trained:
    """What training left.

    Attributes:
        folder: The run folder, as of ``retool rl``.
        model: The trained model in Hugging Face format.
        metrics: verl's metrics, a record for each step.
    """

    folder: Path
    model: Path
    metrics: list[StepMetrics]


class ReToolTrainer:
    """GRPO, DAPO or PPO with tool calls.

    Args:
        model: Hugging Face folder or hub name; for tool calls that work from the start, one that was cold
            started (``retool sft``).
        train_dataset: Rows ``{"prompt": text or messages, "answer": gold answer}``; further keys go to
            ``extra_info``. A list, or anything that iterates over such rows.
        eval_dataset: The same for validation; without it nothing is validated.
        reward: Weights of reward parts (``{"outcome": 1.0, "format": 0.2}``, docs/reward.rst), or a function
            of ``recipe.retool.reward.facts.Facts`` that returns a float. None is the recipe's own reward.
        output_dir: Run folder. A second ``train()`` there goes on from the last checkpoint.
        env: "hermes", "retool", "text" or another registered environment.
        algorithm: "grpo", "dapo" or "ppo".
        device: A group of configs/device, or "auto" to look for one.
        model_config: Group of sizes and batch settings in configs/model; the model's path is ``model``.
        max_turns: Turns of the model in one trajectory.
        temperature: Sampling temperature of the rollouts.
        max_prompt_length: In tokens.
        max_completion_length: Response length in tokens, tool results included.
        mask_truncated_completions: Train on no token of trajectories that a budget ended.
        num_generations: Answers for each prompt.
        batch_size: Prompts in each step.
        learning_rate: Of the policy.
        max_steps: Training steps.
        seed: Of the order of the data and of sampling.
        overrides: Further Hydra overrides; they win.

    Raises:
        ConfigError: A setting that cannot work.
        DataError: A row without prompt or answer.
    """

    def __init__(
        self,
        model: str | Path,
        train_dataset: Iterable[Row],
        *,
        eval_dataset: Iterable[Row] | None = None,
        reward: Reward = None,
        output_dir: str | Path = "runs/trainer",
        env: str = "hermes",
        algorithm: str = "grpo",
        device: str = "auto",
        model_config: str = "tiny",
        batch_size: int | None = None,
        seed: int = 0,
        overrides: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        unknown = sorted(set(settings) - set(_KEY_OF))
        if unknown:
            raise ConfigError(f"ReToolTrainer: unknown argument {unknown[0]!r}; known: {', '.join(_KEY_OF)}")
        self.folder = Path(output_dir).resolve()
        self._reward = reward
        groups = [f"device={device}", f"model={model_config}", f"algorithm={algorithm}", f"env={env}"]
        train, test = self.folder / "train.parquet", self.folder / "eval.parquet"
        write_rows(train, train_dataset, "train")
        if eval_dataset is not None:
            write_rows(test, eval_dataset, "test")
        self._words = [
            *groups,
            assign("data.train_files", train),
            assign("data.val_files", test if eval_dataset is not None else train),
            assign("actor_rollout_ref.model.path", model),
            f"data.seed={seed}",
            f"actor_rollout_ref.rollout.seed={seed}",
            *(f"{_KEY_OF[name]}={_plain(value)}" for name, value in settings.items() if value is not None),
            *_batch(batch_size),
            *([] if eval_dataset is not None else ["trainer.val_before_train=false", "trainer.test_freq=-1"]),
        ]
        self._overrides = list(overrides)

    def train(self, dry_run: bool = False) -> Trained | None:
        """Train to the last step and merge the result; None after a dry run.

        Args:
            dry_run: Print verl's command and an estimate of its memory, and stop.

        Raises:
            RetoolError: As ``retool rl`` and ``retool merge``.
        """
        with importable(self._reward, self.folder) as name:
            words = [*self._words, *reward_overrides(self._reward, name), *self._overrides]
            run = run_rl(words, self.folder, dry_run=dry_run)
        if dry_run:
            return None
        model = run_merge(run.checkpoints, self.folder / "hf")
        return Trained(
            self.folder, model, merge_attempts(self.folder / "metrics", self.folder / "metrics.jsonl")
        )


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _batch(size: int | None) -> list[str]:
    """One update a step: a mini-batch of the whole batch always divides it."""
    if size is None:
        return []
    return [f"data.train_batch_size={size}", f"actor_rollout_ref.actor.ppo_mini_batch_size={size}"]
