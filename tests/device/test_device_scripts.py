"""The launch scripts, with stand-ins for Python and Ray that tell what they were called with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from composed import COMBINATIONS, CONFIGS

from recipe.retool.stages.choices import choices_of

REPO = CONFIGS.parent
SCRIPTS = REPO / "scripts"
GUIDE = REPO / "recipe" / "retool"
SFT = sorted(SCRIPTS.glob("sft_*.sh"))
RL = sorted(path for path in SCRIPTS.glob("rl_*.sh") if path.name != "rl_two_nodes.sh")
ALIASES = {
    "run_qwen2_7b_sft_npu.sh": "sft_qwen2_5_7b_npu.sh",
    "run_qwen2.5_7b_dapo_npu.sh": "rl_qwen2_5_7b_npu.sh",
}
STOP = "actor_rollout_ref.rollout.stop=[\"</code>\", 'it s']"
STUB = """#!/bin/sh
for word in "$@"; do echo "word:$word"; done
echo "platform:$FAKE_CANN:$FAKE_ATB:$RETOOL_HOME"
echo to-stderr >&2
exit ${STUB_CODE:-0}
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with data, a model, a CANN and programs that only tell their arguments."""
    for name in ("python3", "ray"):
        (tmp_path / "bin" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "bin" / name).write_text(STUB)
        (tmp_path / "bin" / name).chmod(0o755)
    for folder, name in (("ascend-toolkit", "FAKE_CANN"), ("nnal/atb", "FAKE_ATB")):
        (tmp_path / "Ascend" / folder).mkdir(parents=True)
        (tmp_path / "Ascend" / folder / "set_env.sh").write_text(f"[ -n $NOT_SET ]; export {name}=sourced\n")
    for name in ("train file.parquet", "val.parquet"):
        (tmp_path / name).touch()
    (tmp_path / "model").mkdir()
    return tmp_path


def launch(place: Path, script: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": f"{place}/bin:/usr/bin:/bin",
        "HOME": str(place),
        "ASCEND_ROOT": f"{place}/Ascend",
        "MODEL_PATH": f"{place}/model",
        "TRAIN_FILES": f"{place}/train file.parquet",
        "VAL_FILES": f"{place}/val.parquet",
        "CHECKPOINTS": f"{place}/model",
        "SANDBOX_URL": "http://h:8080",
        **variables,
    }
    env = {name: value for name, value in env.items() if value}
    command = ["bash", str(script), *words]
    return subprocess.run(command, env=env, cwd=place, capture_output=True, text=True, timeout=60)


def words_of(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stdout + done.stderr
    return [line.removeprefix("word:") for line in done.stdout.splitlines() if line.startswith("word:")]


def test_there_is_a_script_for_each_combination_of_the_issue() -> None:
    names = {path.name for path in SCRIPTS.glob("*.sh")}
    assert {
        f"{stage}_qwen2_5_7b_{device}.sh" for stage in ("sft", "rl") for device in ("gpu", "npu")
    } <= names
    assert {f"{stage}_qwen3_4b_{device}.sh" for stage in ("sft", "rl") for device in ("gpu", "npu")} <= names
    assert {"sft_qwen2_5_32b_gpu.sh", "rl_qwen2_5_32b_dapo_gpu.sh", "rl_qwen2_5_32b_ppo_gpu.sh"} <= names
    assert {"merge.sh", "sandbox.sh", "ray_node.sh", "rl_two_nodes.sh"} <= names


@pytest.mark.parametrize("script", [*SFT, *RL], ids=lambda path: path.name)
def test_a_script_names_groups_that_exist_and_puts_the_arguments_last(place: Path, script: Path) -> None:
    words = words_of(launch(place, script, STOP, "--dry-run"))
    assert words[:3] == ["-m", "recipe.retool.cli", script.name.split("_")[0]]
    chosen = choices_of(words)
    assert [one for one in COMBINATIONS if (one.device, one.model) == (chosen.device, chosen.model)]
    assert chosen.model in script.name
    assert f"data.train_files='{place}/train file.parquet'" in words
    assert words[-2:] == [STOP, "--dry-run"]


@pytest.mark.parametrize("script", [*SFT, *RL, SCRIPTS / "merge.sh"], ids=lambda path: path.name)
def test_the_exit_code_is_that_of_the_trainer_and_the_log_holds_both_streams(
    place: Path, script: Path
) -> None:
    done = launch(place, script, OUTPUT="out dir", STUB_CODE="7")
    assert done.returncode == 7
    logs = list((place / "out dir" / "logs").glob("*-20*.log"))
    assert len(logs) == 1
    assert "to-stderr" in logs[0].read_text()
    assert "to-stderr" in done.stdout


@pytest.mark.parametrize("name", ["MODEL_PATH", "TRAIN_FILES", "VAL_FILES"])
def test_a_missing_variable_is_named(place: Path, name: str) -> None:
    done = launch(place, SCRIPTS / "rl_qwen2_5_7b_gpu.sh", **{name: ""})
    assert done.returncode == 2
    assert f"{name} is not set" in done.stderr


def test_a_path_that_is_not_there_is_named(place: Path) -> None:
    done = launch(place, SCRIPTS / "rl_qwen2_5_7b_gpu.sh", MODEL_PATH="/nowhere/model")
    assert done.returncode == 2
    assert "MODEL_PATH=/nowhere/model: no such file or folder" in done.stderr


def test_a_list_of_files_and_a_name_on_the_hub_are_passed_on(place: Path) -> None:
    variables = {"TRAIN_FILES": "[a.parquet,b.parquet]", "MODEL_PATH": "Qwen/Qwen2.5-7B-Instruct"}
    words = words_of(launch(place, SCRIPTS / "rl_qwen2_5_7b_gpu.sh", **variables))
    assert "data.train_files=[a.parquet,b.parquet]" in words
    assert "actor_rollout_ref.model.path='Qwen/Qwen2.5-7B-Instruct'" in words


def test_cann_and_nnal_are_sourced(place: Path) -> None:
    done = launch(place, SCRIPTS / "rl_qwen2_5_7b_npu.sh")
    assert f"platform:sourced:sourced:{REPO}" in done.stdout


def test_what_was_sourced_already_is_left_alone(place: Path) -> None:
    done = launch(place, SCRIPTS / "rl_qwen2_5_7b_npu.sh", ASCEND_HOME_PATH="/cann", ATB_HOME_PATH="/atb")
    assert f"platform:::{REPO}" in done.stdout


def test_cann_is_found_in_its_other_folder(place: Path) -> None:
    (place / "Ascend" / "ascend-toolkit").rename(place / "Ascend" / "cann")
    done = launch(place, SCRIPTS / "rl_qwen2_5_7b_npu.sh")
    assert f"platform:sourced:sourced:{REPO}" in done.stdout


@pytest.mark.parametrize("part", ["ascend-toolkit", "nnal/atb"])
def test_a_missing_cann_is_named(place: Path, part: str) -> None:
    (place / "Ascend" / part / "set_env.sh").unlink()
    done = launch(place, SCRIPTS / "rl_qwen2_5_7b_npu.sh")
    assert done.returncode == 2
    assert f"no {part}/set_env.sh" in done.stderr
    assert f"under {place}/Ascend: install it, name its folder in ASCEND_ROOT" in done.stderr


def test_cann_in_the_home_of_a_user_is_found(place: Path) -> None:
    done = launch(place, SCRIPTS / "rl_qwen2_5_7b_npu.sh", ASCEND_ROOT="")
    assert f"platform:sourced:sourced:{REPO}" in done.stdout


@pytest.mark.parametrize("folder", ["ascend-toolkit", "cann"])
def test_setup_finds_cann_itself(place: Path, folder: str) -> None:
    (place / "Ascend" / "ascend-toolkit").rename(place / "Ascend" / folder)
    done = launch(place, SCRIPTS / "setup_npu.sh")
    assert done.stdout.count(f"platform:sourced:sourced:{REPO}") > 5
    missing = launch(place, SCRIPTS / "setup_npu.sh", ASCEND_ROOT=f"{place}/nowhere")
    assert (missing.returncode, "ASCEND_ROOT" in missing.stderr, missing.stdout) == (2, True, "")


def test_setup_of_an_unknown_stack_names_the_known(place: Path) -> None:
    done = launch(place, SCRIPTS / "setup_npu.sh", STACK="verl_0_7")
    assert (done.returncode, "known are verl_0_9 and verl_0_6" in done.stderr) == (2, True)


def test_setup_goes_on_without_what_need_not_compile(place: Path) -> None:
    python = place / "bin" / "python3"
    python.write_text(STUB.replace("exit", 'case "$*" in *arctic*) exit 1 ;; esac\nexit'))
    done = launch(place, SCRIPTS / "setup_npu.sh")
    assert (done.returncode, "warning: arctic-inference==0.1.1" in done.stderr) == (0, True)


@pytest.mark.parametrize(("alias", "script"), ALIASES.items())
def test_the_paths_of_the_guide_lead_to_the_same_script(place: Path, alias: str, script: str) -> None:
    assert words_of(launch(place, GUIDE / alias, STOP)) == words_of(launch(place, SCRIPTS / script, STOP))


def test_the_tool_config_of_the_guide_is_ours() -> None:
    assert (GUIDE / "sandbox_fusion_tool_config.yaml").samefile(CONFIGS / "tool" / "code_interpreter.yaml")


def test_sft_takes_the_file_that_the_guide_s_preprocessing_writes(place: Path) -> None:
    file = place / "ReTool-SFT" / "data" / "train-00000-of-00001.parquet"
    file.parent.mkdir(parents=True)
    file.touch()
    words = words_of(launch(place, SCRIPTS / "sft_qwen2_5_7b_gpu.sh", TRAIN_FILES=""))
    assert f"data.train_files='{file}'" in words


def test_two_nodes_need_a_sandbox_and_use_the_cluster(place: Path) -> None:
    words = ("gpu", "qwen2_5_7b", "dapo")
    done = launch(place, SCRIPTS / "rl_two_nodes.sh", *words, SANDBOX_URL="")
    assert (done.returncode, "SANDBOX_URL is not set" in done.stderr) == (2, True)
    done = launch(place, SCRIPTS / "rl_two_nodes.sh", *words, STOP)
    assert words_of(done)[-2:] == ["trainer.nnodes=2", STOP]


@pytest.mark.parametrize("name", ["rl_qwen2_5_32b_dapo_gpu.sh", "rl_qwen2_5_32b_ppo_gpu.sh"])
def test_a_script_for_several_nodes_asks_for_the_sandbox(place: Path, name: str) -> None:
    done = launch(place, SCRIPTS / name, SANDBOX_URL="")
    assert (done.returncode, "SANDBOX_URL is not set" in done.stderr) == (2, True)
    exported = launch(place, SCRIPTS / name, SANDBOX_URL="", RETOOL_SANDBOX_URL="http://e:8080")
    assert "http://e:8080" in words_of(exported)


NODES = [
    (("gpu", "head"), ["start", "--head", "--port=6379"]),
    (("npu", "head"), ["start", "--head", "--port=6379", '--resources={"NPU": 8}']),
    (("npu", "worker", "h"), ["start", "--address=h:6379", '--resources={"NPU": 8}']),
]


@pytest.mark.parametrize(("words", "wanted"), NODES)
def test_a_node_joins_ray(place: Path, words: tuple[str, ...], wanted: list[str]) -> None:
    python = place / "python"  # prints no variables, and tells how Ray was called
    python.write_text(
        '#!/bin/sh\n[ "$2" = recipe.retool.cli ] || for word in "$@"; do echo "word:$word"; done\n'
    )
    python.chmod(0o755)
    (place / "bin" / "ray").unlink()  # the environment of PYTHON need not be active
    done = launch(place, SCRIPTS / "ray_node.sh", *words, PYTHON=str(python))
    assert words_of(done) == ["-m", "ray.scripts.scripts", *wanted]


@pytest.mark.parametrize("words", [(), ("tpu", "head"), ("gpu", "worker")])
def test_a_wrong_call_of_ray_node_shows_the_right_one(place: Path, words: tuple[str, ...]) -> None:
    done = launch(place, SCRIPTS / "ray_node.sh", *words, PYTHON="/bin/true")
    assert (done.returncode, "worker ADDRESS" in done.stderr) == (2, True)


def test_a_dry_run_of_the_guide_s_script_prints_the_command_of_verl(place: Path) -> None:
    words = ("--dry-run", "actor_rollout_ref.rollout.n=8")
    done = launch(
        place, GUIDE / "run_qwen2.5_7b_dapo_npu.sh", *words, PYTHON=sys.executable, HOME=os.environ["HOME"]
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for text in (
        "verl.trainer.main_ppo",
        "device=npu",
        "HCCL_EXEC_TIMEOUT=3600",
        "VERL_PLATFORM=huawei",
        "estimate",
    ):
        assert text in done.stdout
    assert "actor_rollout_ref.rollout.n=8" in done.stdout


def test_triton_ascend_is_installed_after_plain_triton_is_gone(place: Path) -> None:
    lines = launch(place, SCRIPTS / "setup_npu.sh", DRY_RUN="1").stdout.splitlines()
    (gone,) = (n for n, line in enumerate(lines) if line.endswith("uninstall -y triton"))
    (there,) = (n for n, line in enumerate(lines) if "triton-ascend==" in line)
    (listed,) = (n for n, line in enumerate(lines) if "requirements-npu.txt" in line)
    assert listed < gone < there
