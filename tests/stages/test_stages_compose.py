"""The Hydra configs against verl's own."""

from pathlib import Path

import pytest

from recipe.retool.errors import ConfigError
from recipe.retool.stages.compose import check_paths, compose_config, resolved

FILES = ["data.train_files=a.parquet", "data.val_files=b.parquet"]


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_rl_config_composes_and_resolves(algorithm: str) -> None:
    values = resolved(compose_config("retool_ppo", [f"algorithm={algorithm}", *FILES]))
    assert values["reward"]["custom_reward_function"]["path"] == "pkg://recipe.retool.retool"
    assert values["trainer"]["device"] == "cpu"


def test_command_line_beats_groups() -> None:
    values = resolved(compose_config("retool_ppo", ["actor_rollout_ref.rollout.n=3", *FILES]))
    assert values["actor_rollout_ref"]["rollout"]["n"] == 3


def test_sft_config_composes_and_resolves() -> None:
    values = resolved(compose_config("retool_sft", ["data.train_files=a.parquet"]))
    assert values["engine"]["strategy"] == "fsdp2"


def test_files_that_the_config_names_exist() -> None:
    values = resolved(compose_config("retool_ppo", FILES))
    rollout = values["actor_rollout_ref"]["rollout"]
    assert Path(rollout["multi_turn"]["tool_config_path"]).is_file()
    assert Path(rollout["agent"]["agent_loop_config_path"]).is_file()


@pytest.mark.parametrize("word", ["device=tpu", "algorithm=nope", "actor_rollout_ref.rollout.nn=3"])
def test_unknown_choice_or_key_is_named(word: str) -> None:
    with pytest.raises(ConfigError, match=r"tpu|nope|nn"):
        compose_config("retool_ppo", [word])


def test_missing_data_file_is_named() -> None:
    values = resolved(compose_config("retool_ppo", ["data.train_files=nowhere.parquet"]))
    with pytest.raises(ConfigError, match=r"data\.train_files=nowhere\.parquet"):
        check_paths(values, ["data.train_files"])
