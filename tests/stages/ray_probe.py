"""In the place of a training: verl's own ``run_ppo`` with a task that writes down its environment, and ends.

Arguments: the overrides of an RL run.
"""

import json
import os
import sys
from pathlib import Path

import ray
from omegaconf import OmegaConf
from verl.trainer.main_ppo import run_ppo

from recipe.retool.stages.compose import compose_config


class Task:
    """Stands in for verl's TaskRunner."""

    def run(self, config: object) -> None:
        """Write the variables, and a path of the config as this process resolves it."""
        OmegaConf.resolve(config)
        found = {
            "env": {
                name: value for name, value in os.environ.items() if name.startswith(("RETOOL_", "VERL_"))
            },
            "tools": OmegaConf.select(config, "actor_rollout_ref.rollout.multi_turn.tool_config_path"),
        }
        Path(OmegaConf.select(config, "trainer.default_local_dir")).write_text(json.dumps(found))


if __name__ == "__main__":
    run_ppo(compose_config("retool_ppo", sys.argv[1:]), task_runner_class=ray.remote(num_cpus=1)(Task))
