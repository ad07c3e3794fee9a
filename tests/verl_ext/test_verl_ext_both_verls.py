"""The same data set, agent loop, tool and reward on verl 0.9.1 (installed) and 0.6.1 (where there is one).

For 0.6.1, RETOOL_VERL_0_6 names the folders that go first on the path, in this order, separated by colons:
the unpacked wheel, and packages that it needs in an older version than 0.9.1 does:

    pip download --no-deps verl==0.6.1 && unzip verl-0.6.1-*.whl -d verl061
    pip install --no-deps --target old transformers==4.57.6 tokenizers==0.22.2 "huggingface_hub<1" \
        datasets==4.4.1
    RETOOL_VERL_0_6=$PWD/verl061:$PWD/old pytest -m slow tests/verl_ext/test_verl_ext_both_verls.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPO = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("one_trajectory.py")
OLD = os.environ.get("RETOOL_VERL_0_6", "")
needs_old = pytest.mark.skipif(not OLD, reason="RETOOL_VERL_0_6 names no verl 0.6.1")
STACKS = [
    pytest.param("verl_0_9", "", id="0.9.1"),
    pytest.param("verl_0_6", OLD, id="0.6.1", marks=[pytest.mark.slow, needs_old]),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    from recipe.retool.tiny.files import TaskFiles, write_task

    task = TaskFiles(tmp_path_factory.mktemp("task"))
    write_task(task, seed=0, sft_rows=8, train=8, test=8)
    return str(task.base), str(task.train)


def run(stack: str, first: str, files: tuple[str, str]) -> dict[str, Any]:
    path = ":".join(part for part in (first, str(REPO), os.environ.get("PYTHONPATH", "")) if part)
    command = [sys.executable, str(PROGRAM), stack, *files]
    env = {**os.environ, "PYTHONPATH": path, "RETOOL_HOME": str(REPO)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize(("stack", "first"), STACKS)
def test_one_trajectory_from_the_parquet_to_the_score(stack: str, first: str, files: tuple[str, str]) -> None:
    found = run(stack, first, files)
    assert found["rows"] == 8
    assert len(set(found["lengths"])) == 1  # ids, mask, log-probabilities
    assert found["trained"] == found["written"]  # the model's tokens, and no other
    assert found["appends"]
    assert found["prompt_shows_tool"]
    assert found["tool_text"]
    score = found["score"]
    assert (score["score"], score["acc"]) == (1.0, 1.0)
    assert (score["tool_calls"], score["tool_ok"], score["tool_unknown"]) == (1.0, 1.0, 1.0)
    assert score["num_turns"] == 6.0  # prompt, three of the model, two of the tools


@pytest.mark.slow
@needs_old
def test_our_configs_become_the_dataclasses_of_the_old_verl() -> None:
    program = (
        "from recipe.retool.stages.compose import compose_config\n"
        "from verl.utils.config import omega_conf_to_dataclass as to\n"
        "from omegaconf import OmegaConf\n"
        "for device in ('gpu', 'npu'):\n"
        "    for model in ('qwen2_5_7b', 'qwen2_5_32b', 'qwen3_4b', 'qwen3_0_6b', 'tiny'):\n"
        "        words = ['stack=verl_0_6', f'device={device}', f'model={model}', 'algorithm=ppo']\n"
        "        config = compose_config('retool_ppo', words)\n"
        "        model = 'actor_rollout_ref'\n"
        "        for section in (f'{model}.actor', f'{model}.rollout', 'critic', 'algorithm'):\n"
        "            assert to(OmegaConf.select(config, section)) is not None\n"
        "        print('fine')\n"
    )
    env = {**os.environ, "PYTHONPATH": f"{OLD}:{REPO}", "RETOOL_HOME": str(REPO)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=250
    )
    assert done.stdout.count("fine") == 10, done.stderr[-3000:]


@pytest.mark.slow
@needs_old
@pytest.mark.parametrize("name", ["ppo_trainer", "sft_trainer_engine"])
def test_the_stored_config_is_that_of_the_wheel(name: str) -> None:
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from omegaconf import OmegaConf

    GlobalHydra.instance().clear()
    folder = Path(OLD.split(":")[0]) / "verl" / "trainer" / "config"
    with initialize_config_dir(config_dir=str(folder), version_base=None):
        theirs = compose(name)
    ours = OmegaConf.load(REPO / "tests" / "device" / "verl_0_6_1" / f"{name}.yaml")
    assert OmegaConf.to_yaml(ours) == OmegaConf.to_yaml(theirs)
