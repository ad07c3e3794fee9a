"""Bad input that must stop before Ray starts, with the key and the remedy in the message."""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import pytest

from recipe.retool.cli import main
from recipe.retool.device.detect import Detection
from recipe.retool.device.memory import DeviceMemory
from recipe.retool.errors import ConfigError
from recipe.retool.stages import detection
from recipe.retool.stages.checks import ENGINES, ESTIMATORS
from recipe.retool.stages.choices import Choices, check_installed, choices_of, model_path
from recipe.retool.stages.commands import sft_command
from recipe.retool.stages.compose import check_paths, compose_config, resolved
from recipe.retool.stages.detection import check_devices
from recipe.retool.stages.estimate import estimate_rl
from recipe.retool.stages.layout import check_rl_layout, check_rl_lengths, check_sft_layout
from recipe.retool.stages.preflight import check_sandbox_url
from recipe.retool.stages.rl import worker_variables
from recipe.retool.stages.shapes import KNOWN_SHAPES, read_shape, shape_of
from recipe.retool.stages.tokenizer_check import check_tokenizer

SEVEN = KNOWN_SHAPES["qwen2_5_7b"]
MEMORY = DeviceMemory(80.0, "test")


def rl(**changes: Any) -> dict[str, Any]:
    """The sizes of Qwen2.5-7B on one node of 8, with changes."""
    size: dict[str, Any] = {
        "nodes": 1, "devices": 8, "sp": 4, "tp": 2, "batch": 32, "mini": 16, "n": 16, "tokens": 22528,
        "padding": True, "model_len": None, **changes,
    }  # fmt: skip
    return {
        "trainer": {"n_gpus_per_node": size["devices"], "nnodes": size["nodes"]},
        "data": {"train_batch_size": size["batch"], "max_prompt_length": 2048, "max_response_length": 20480},
        "actor_rollout_ref": {
            "model": {"use_remove_padding": size["padding"]},
            "actor": {
                "ulysses_sequence_parallel_size": size["sp"],
                "ppo_mini_batch_size": size["mini"],
                "ppo_max_token_len_per_gpu": size["tokens"],
                "use_dynamic_bsz": True,
            },
            "rollout": {
                "n": size["n"],
                "tensor_model_parallel_size": size["tp"],
                "max_model_len": size["model_len"],
            },
        },
    }


BAD_LAYOUTS = [
    (
        {"sp": 8},
        r"ulysses_sequence_parallel_size=8 does not divide the model's 28 attention heads.*\[1, 2, 4, 7\]",
    ),
    ({"sp": 3}, r"ulysses_sequence_parallel_size=3 does not divide the 8 devices.*\[1, 2, 4, 8\]"),
    ({"sp": 0}, r"ulysses_sequence_parallel_size=0"),
    (
        {"tp": 8},
        r"tensor_model_parallel_size=8 does not divide the model's 28 attention heads.*\[1, 2, 4, 7\]",
    ),
    ({"tp": 16, "nodes": 2}, r"tensor_model_parallel_size=16: one engine does not span nodes; at most 8"),
    (
        {"mini": 24},
        r"ppo_mini_batch_size=24 does not divide data.train_batch_size=32: choose one of \[1, 2, 4, 8, 16",
    ),
    ({"mini": 1, "n": 1, "sp": 1}, r"not a multiple of the 8 data-parallel ranks"),
    ({"devices": 0}, r"trainer.n_gpus_per_node=0: must be a whole number, 1 or more"),
    ({"nodes": "two"}, r"trainer.nnodes=two: must be a whole number"),
    ({"mini": 0}, r"ppo_mini_batch_size=0: must be"),
    ({"batch": 32.0}, r"data.train_batch_size=32.0: must be"),
    ({"n": -1}, r"rollout.n=-1: must be"),
    ({"padding": False}, r"needs actor_rollout_ref.model.use_remove_padding=True"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_LAYOUTS)
def test_sizes_that_do_not_divide_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_rl_layout(rl(**changes), SEVEN)


@pytest.mark.parametrize("changes", [{}, {"sp": 2}, {"tp": 4}, {"nodes": 2}])
def test_sizes_that_divide_pass(changes: dict[str, Any]) -> None:
    check_rl_layout(rl(**changes), SEVEN)


BAD_LENGTHS = [
    (
        {"tokens": 4096},
        r"ppo_max_token_len_per_gpu=4096 x sequence parallelism 4 cannot hold one sequence of 22528",
    ),
    ({"model_len": 8192}, r"max_model_len=8192 is less than"),
    ({"model_len": "long"}, r"rollout.max_model_len=long: must be a whole number"),
]


@pytest.mark.parametrize(("changes", "message"), BAD_LENGTHS)
def test_a_budget_below_one_sequence_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_rl_lengths(rl(**changes))


def test_an_sft_budget_below_one_dialogue_is_refused() -> None:
    values = {
        "trainer": {"n_gpus_per_node": 8, "nnodes": 1},
        "engine": {"ulysses_sequence_parallel_size": 1},
        "model": {"use_remove_padding": True},
        "data": {"max_token_len_per_gpu": 8192, "max_length": 16384, "use_dynamic_bsz": True},
    }
    with pytest.raises(ConfigError, match=r"data.max_length=16384"):
        check_sft_layout(values, SEVEN)


ACTOR, CRITIC = "actor_rollout_ref.actor", "critic"
WORDS = [
    (["algorithm.adv_estimator=grppo"], "algorithm.adv_estimator=grppo: unknown; known are gae"),
    (["actor_rollout_ref.rollout.name=vlm"], "rollout.name=vlm: unknown; known are vllm"),
    (["actor_rollout_ref.rollout.gpu_memory_utilization=1.5"], "utilization=1.5: must be a number"),
    (["data.max_prompt_length=long"], "data.max_prompt_length=long: must be a whole number"),
    (
        ["device=gpu", "model=qwen2_5_7b", f"{ACTOR}.ulysses_sequence_parallel_size=1",
         f"{ACTOR}.fsdp_config.ulysses_sequence_parallel_size=8"],
        "actor.fsdp_config.ulysses_sequence_parallel_size=8 does not divide the model's 28",
    ),
    (
        ["device=gpu", "model=qwen2_5_7b", "algorithm=ppo", "critic.fsdp.ulysses_sequence_parallel_size=8"],
        "critic.fsdp.ulysses_sequence_parallel_size=8 does not divide the model's 28",
    ),
    (
        ["device=gpu", "model=qwen2_5_7b", "actor_rollout_ref.rollout.log_prob_max_token_len_per_gpu=2000"],
        "rollout.log_prob_max_token_len_per_gpu=2000 x",
    ),
    (
        ["device=gpu", "model=qwen2_5_7b", "algorithm=ppo", "critic.ppo_max_token_len_per_gpu=2000"],
        "critic.ppo_max_token_len_per_gpu=2000 x",
    ),
    (
        ["device=gpu", "model=qwen2_5_7b", "algorithm=grpo", f"{ACTOR}.use_kl_loss=True",
         "actor_rollout_ref.ref.ulysses_sequence_parallel_size=8"],
        "actor_rollout_ref.ref.ulysses_sequence_parallel_size=8 does not divide the model's 28",
    ),
    (["device=cpu", "model=qwen2_5_7b"], "choose model=tiny or model=qwen3_0_6b"),
    (["device=cpu", "stack=verl_0_6"], "no device=cpu"),
    (["stack=verl_0_7"], "stack=verl_0_7: unknown"),
    (["custom_reward_function.path=x.py"], "write reward.custom_reward_function"),
    (["device=npu", "actor_rollout_ref.actor.use_torch_compile=False"], "fsdp_config.use_torch_compile"),
    (["critic.model.fsdp_config.param_offload=True"], "write critic.fsdp"),
    (
        ["device=npu", "model=qwen2_5_7b", "actor_rollout_ref.actor.ulysses_sequence_parallel_size=8"],
        "28 attention",
    ),
    (["device=gpu", "model=qwen2_5_7b", "actor_rollout_ref.actor.ppo_mini_batch_size=48"], "does not divide"),
    (["algorithm.adv_estimatr=grpo"], "algorithm.adv_estimatr: no such key or group; is it misspelt?"),
    (["modle=tiny"], "modle: no such key or group"),
    (["model=qwen9"], "model=qwen9: unknown; known are"),
    (["model="], "model=: unknown; known are"),
    (["algorithm=reinforce"], "algorithm=reinforce: unknown; known are dapo, grpo, ppo"),
    (["model.path="], "actor_rollout_ref.model.path is not set: add model.path=PATH"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "message"), WORDS)
def test_retool_rl_refuses(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rl", "--dry-run", *words]) == 2
    assert message in capsys.readouterr().err


def test_retool_sft_refuses_a_key_of_the_old_trainer(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sft", "--dry-run", "model.partial_pretrain=x"]) == 2
    assert "write model.path" in capsys.readouterr().err


SFT_WORDS = [
    (["model=nope"], "sft/model=nope: unknown; known are"),
    (["model.path="], "model.path is not set"),
    (["dta.x=1"], "dta.x: no such key or group"),
]


@pytest.mark.parametrize(("words", "message"), SFT_WORDS)
def test_retool_sft_refuses(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sft", "--dry-run", *words]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_or_nothing_in_the_place_of_data_is_refused(tmp_path: Path) -> None:
    for value, message in ((str(tmp_path), "a folder; name its parquet files"), ("", "is not set")):
        with pytest.raises(ConfigError, match=message):
            check_paths({"data": {"train_files": value}}, ["data.train_files"])


BROKEN = Detection("gpu", 0, ("/dev/nvidia0",), "torch sees no device")
FOUR = Detection("gpu", 4, ("/dev/nvidia0",))


@pytest.mark.parametrize(("seen", "message"), [(BROKEN, "does not work here"), (FOUR, "n_gpus_per_node=4")])
def test_a_named_device_is_compared_with_what_is_here(
    seen: Detection, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(detection, "find", lambda device, always: seen)
    with pytest.raises(ConfigError, match=message):
        check_devices("gpu", rl(), None, dry_run=False)
    assert check_devices("gpu", rl(), None, dry_run=True) is seen
    assert message in capsys.readouterr().out
    assert check_devices("cpu", rl(), None, dry_run=False) is None


def test_a_dry_run_tells_an_estimate_and_the_variables(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rl", "--dry-run", "device=npu", "model=qwen2_5_7b", "algorithm=dapo"]) == 0
    printed = capsys.readouterr().out
    for text in ("HCCL_OP_EXPANSION_MODE=AIV", "not a measurement", "key-value cache", "device=npu"):
        assert text in printed


@pytest.mark.parametrize(("installed", "stack"), [("0.6.1", "verl_0_9"), ("0.9.1", "verl_0_6")])
def test_a_stack_for_another_verl_is_refused(installed: str, stack: str) -> None:
    with pytest.raises(ConfigError, match=rf"installed is {installed}: choose stack=verl_0_\d"):
        check_installed(Choices("gpu", "tiny", "grpo", stack), lambda _: installed)


@pytest.mark.parametrize("url", [None, "http://127.0.0.1:8080", "http://localhost:8080"])
def test_several_nodes_need_a_sandbox_that_all_reach(url: str | None) -> None:
    with pytest.raises(ConfigError, match=r"trainer.nnodes=2"):
        check_sandbox_url(rl(nodes=2), url)
    check_sandbox_url(rl(nodes=2), "http://10.0.0.1:8080")
    check_sandbox_url(rl(), url)


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_actors_of_a_cluster_get_our_variables_and_never_the_token(
    nodes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RETOOL_SANDBOX_TOKEN", "secret")
    extra = {"RETOOL_SANDBOX_URL": "http://a:1,http://b:2", "VERL_FILE_LOGGER_PATH": "/runs/it's/m.jsonl"}
    monkeypatch.setenv("LD_PRELOAD", "/of/this/node.so")
    monkeypatch.setenv("HCCL_EXEC_TIMEOUT", "7")
    chosen = Choices("npu", "qwen2_5_7b", "dapo", "verl_0_9")
    words = [f"trainer.nnodes={nodes}", *worker_variables(chosen, extra)]
    composed = resolved(compose_config("retool_ppo", words))
    # verl merges this over its own runtime_env and hands it to ray.init (trainer/main_ppo.py, both versions)
    passed = composed["ray_kwargs"]["ray_init"]["runtime_env"]["env_vars"]
    assert extra.items() <= passed.items()
    assert (passed["VERL_PLATFORM"], passed["HCCL_EXEC_TIMEOUT"]) == ("huawei", "7")
    assert Path(passed["RETOOL_HOME"], "configs").is_dir()
    assert "LD_PRELOAD" not in passed
    assert "secret" not in str(words)


def test_the_sandbox_of_the_environment_is_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RETOOL_SANDBOX_URL", "http://10.0.0.7:8080")
    assert main(["rl", "--dry-run", "device=gpu", "model=qwen2_5_32b"]) == 0
    printed = capsys.readouterr().out
    assert "RETOOL_SANDBOX_URL=http://10.0.0.7:8080" in printed
    assert "runtime_env.env_vars.RETOOL_SANDBOX_URL" in printed
    assert main(["rl", "--dry-run", "--sandbox-url", "http://10.0.0.8:1", "device=gpu"]) == 0
    assert "RETOOL_SANDBOX_URL=http://10.0.0.8:1" in capsys.readouterr().out


def test_several_sft_nodes_need_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NODE_RANK", raising=False)
    with pytest.raises(ConfigError, match="NODE_RANK"):
        sft_command(["sft/device=gpu"], 8, {}, nodes=2)
    monkeypatch.setenv("NODE_RANK", "1")
    monkeypatch.setenv("MASTER_ADDR", "10.0.0.1")
    words = sft_command(["sft/device=gpu"], 8, {}, nodes=2).argv
    assert {"--nnodes=2", "--node_rank=1", "--master_addr=10.0.0.1", "--nproc_per_node=8"} <= set(words)


def test_model_path_is_short_for_the_policy() -> None:
    assert model_path(["model.path=a", "model=tiny"], "x.path") == ["x.path=a", "model=tiny"]


def test_the_last_choice_wins() -> None:
    assert choices_of(["device=gpu", "sft/device=npu", "data.x=1"]).device == "npu"


KNOWN_SIZES = [("qwen2_5_7b", 7.6e9), ("qwen2_5_32b", 32.8e9), ("qwen3_4b", 4.0e9), ("qwen3_0_6b", 0.6e9)]


@pytest.mark.parametrize(("name", "parameters"), KNOWN_SIZES)
def test_the_shapes_have_the_size_of_their_name(name: str, parameters: float) -> None:
    assert KNOWN_SHAPES[name].parameters() == pytest.approx(parameters, rel=0.02)


def test_a_local_config_beats_the_table(tmp_path: Path) -> None:
    config = {"num_attention_heads": 4, "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100}
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = shape_of(str(tmp_path), "qwen2_5_7b")
    assert found is not None
    assert (found.heads, found.kv_heads, found.head_size, found.tied) == (4, 4, 16, False)


@pytest.mark.parametrize("text", ["", "{", "{}", "[]", "\udcff"])
def test_a_broken_config_json_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError, match=r"config\.json"):
        shape_of(str(tmp_path), "qwen2_5_7b")


def test_a_config_json_without_layers_is_unknown() -> None:
    assert read_shape({"num_attention_heads": 4, "hidden_size": 64, "vocab_size": 100}) is None


@pytest.mark.parametrize("path", ["runs/sft/hf", "Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B"])
def test_the_model_of_a_group_has_its_shape(path: str) -> None:
    assert shape_of(path, "qwen2_5_7b") is SEVEN


@pytest.mark.parametrize("path", ["Qwen/Qwen3-8B", "Qwen/Qwen2.5-72B", "models/mine"])
def test_another_model_is_not_judged_by_the_shape_of_the_group(
    path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shape_of(path, "qwen2_5_7b") is None
    assert main(["rl", "--dry-run", "device=gpu", "model=qwen2_5_7b", f"model.path={path}"]) == 0
    assert f"the shape of {path} is unknown" in capsys.readouterr().out


def test_the_estimate_of_ppo_counts_the_critic_s_budget() -> None:
    words = ["device=gpu", "model=qwen2_5_7b", "algorithm=ppo", "critic.ppo_max_token_len_per_gpu="]
    small, large = (
        estimate_rl(resolved(compose_config("retool_ppo", [*words[:3], words[3] + tokens])), SEVEN, MEMORY)[0]
        for tokens in ("22528", "400000")
    )
    assert large.activations > 5 * small.activations
    assert small.logits > large.logits == 0  # a critic gives one value for a token


def test_estimators_and_engines_are_those_of_verl() -> None:
    spec = importlib.util.find_spec("verl")
    assert spec
    assert spec.submodule_search_locations
    root = Path(next(iter(spec.submodule_search_locations)))
    names = (root / "trainer/ppo/core_algos.py").read_text().split("class AdvantageEstimator")[1]
    assert set(re.findall(r'^    [A-Z_]+ = "(\w+)"$', names, re.MULTILINE)) == set(ESTIMATORS)
    replicas = (root / "workers/rollout/replica.py").read_text()
    assert set(re.findall(r'Registry\.register\("(\w+)"', replicas)) == set(ENGINES)


SAVED = [
    ({"extra_special_tokens": ["<|im_start|>"]}, "4.57.6", True),
    ({"extra_special_tokens": ["<|im_start|>"]}, "5.10.4", False),
    ({"additional_special_tokens": ["<|im_start|>"]}, "4.57.6", False),
    ({"extra_special_tokens": {}}, "4.57.6", False),
    ([], "4.57.6", False),
]


@pytest.mark.parametrize(("config", "installed", "refused"), SAVED)
def test_a_tokenizer_of_a_newer_transformers_is_told(
    tmp_path: Path, config: object, installed: str, refused: bool
) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    if refused:
        with pytest.raises(ConfigError, match="rename its key extra_special_tokens to additional_special"):
            check_tokenizer(str(tmp_path), lambda _: installed)
    else:
        check_tokenizer(str(tmp_path), lambda _: installed)
    check_tokenizer("Qwen/Qwen2.5-7B", lambda _: installed)


def test_a_mixture_of_experts_is_not_guessed() -> None:
    assert read_shape({"num_attention_heads": 4, "hidden_size": 64, "num_experts": 8}) is None


def test_a_dry_merge_prints_the_command_of_verl(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "huggingface").mkdir()
    (tmp_path / "huggingface" / "config.json").write_text("{}")
    (tmp_path / "model_world_size_1_rank_0.pt").touch()
    assert main(["merge", "--dry-run", str(tmp_path)]) == 0
    assert "-m verl.model_merger merge --backend fsdp --local_dir" in capsys.readouterr().out
