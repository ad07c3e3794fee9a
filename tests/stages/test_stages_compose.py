"""The Hydra configs against verl's own."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recipe.retool.errors import ConfigError
from recipe.retool.stages.checks import check_batch, check_reward
from recipe.retool.stages.commands import assign
from recipe.retool.stages.compose import check_paths, compose_config, resolved
from recipe.retool.stages.preflight import OWN_PATHS

FILES = ["data.train_files=a.parquet", "data.val_files=b.parquet"]


@pytest.mark.parametrize("algorithm", ["grpo", "ppo"])
def test_rl_config_composes_and_resolves(algorithm: str) -> None:
    values = resolved(compose_config("retool_ppo", [f"algorithm={algorithm}", *FILES]))
    assert values["reward"]["custom_reward_function"]["path"] == "pkg://recipe.retool.retool"
    assert values["trainer"]["device"] == "cpu"


@pytest.mark.parametrize(
    "text", ["/tmp/run (1)", "/home/josé/x", "/tmp/lr=1e-5", "a,b", "it's", "a\\b", "a\\", "[a]"]
)
def test_a_path_may_hold_any_character(text: str) -> None:
    config = compose_config("retool_ppo", [*FILES, assign("trainer.default_local_dir", text)])
    assert config.trainer.default_local_dir == text


def test_a_misspelt_reward_setting_is_named() -> None:
    word = "+reward.custom_reward_function.reward_kwargs.answer_timeot=9"
    with pytest.raises(ConfigError, match="answer_timeot"):
        check_reward(resolved(compose_config("retool_ppo", [*FILES, word])))


def test_less_data_than_a_batch_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"prompt": ["a"]}), tmp_path / "a.parquet")
    config = compose_config("retool_ppo", [assign("data.train_files", tmp_path / "a.parquet"), FILES[1]])
    with pytest.raises(ConfigError, match=r"has 1 rows, fewer than data\.train_batch_size=32"):
        check_batch(resolved(config))


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


def test_only_a_model_may_be_a_name_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = {"data": {"train_files": "data/train"}, "model": {"path": "Qwen/Qwen3-8B"}}
    check_paths(values, ["model.path"])
    with pytest.raises(ConfigError, match=r"data\.train_files=data/train: no such file"):
        check_paths(values, ["data.train_files"])
    (tmp_path / "Qwen").mkdir()  # then it is a folder with a typing error
    with pytest.raises(ConfigError, match=r"model\.path=Qwen/Qwen3-8B: no such file"):
        check_paths(values, ["model.path"])


@pytest.mark.parametrize("key", OWN_PATHS[:3])
def test_files_of_the_tools_and_of_the_data_must_be_there(key: str) -> None:
    values = resolved(compose_config("retool_ppo", [*FILES, f"{key}=tools/nowhere.yaml"]))
    with pytest.raises(ConfigError, match=rf"{key}=tools/nowhere\.yaml: no such file"):
        check_paths(values, (), OWN_PATHS)
    check_paths(resolved(compose_config("retool_ppo", [*FILES, f"{OWN_PATHS[2]}=null"])), (), OWN_PATHS)
