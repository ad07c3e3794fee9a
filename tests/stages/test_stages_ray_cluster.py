"""A Ray cluster that was there before the run: it must answer, and its actors get our variables."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from recipe.retool.device import ray_cluster
from recipe.retool.device.checks import Level
from recipe.retool.device.ray_cluster import check_ray, cluster_address, why_silent
from recipe.retool.errors import ConfigError
from recipe.retool.stages.choices import Choices
from recipe.retool.stages.commands import assign, home
from recipe.retool.stages.compose import compose_config, resolved
from recipe.retool.stages.preflight import check_cluster
from recipe.retool.stages.rl import worker_variables

PROBE = Path(__file__).with_name("ray_probe.py")
CHOSEN = Choices("cpu", "tiny", "grpo", "verl_0_9")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def no_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host on which ``ray start`` was never called."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return tmp_path


ADDRESSES = [
    ({}, None, None),
    ({}, "local", None),
    ({}, "auto", "auto"),
    ({"RAY_ADDRESS": "auto"}, None, "auto"),
    ({"RAY_ADDRESS": "h:1"}, None, "h:1"),
    ({"RAY_ADDRESS": "h:1"}, "auto", "h:1"),
    ({"RAY_ADDRESS": "h:1"}, "local", None),
    ({"RAY_ADDRESS": "h:1"}, "other:2", "other:2"),
    ({"RAY_ADDRESS": "local"}, None, None),
]


@pytest.mark.parametrize(("env", "wish", "wanted"), ADDRESSES)
def test_which_cluster_a_run_joins(
    no_ray: Path, env: dict[str, str], wish: str | None, wanted: str | None
) -> None:
    assert cluster_address({"RAY_TMPDIR": str(no_ray), **env}, wish) == wanted


def test_the_cluster_that_was_started_last_is_joined_without_being_named(no_ray: Path) -> None:
    (no_ray / "ray").mkdir()
    (no_ray / "ray" / "ray_current_cluster").write_text("10.0.0.1:6379\n")
    assert cluster_address() == cluster_address(wish="auto") == "10.0.0.1:6379"
    assert cluster_address(wish="local") is None


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "h:port", "127.0.0.1:99999"])
def test_a_cluster_that_does_not_answer_is_refused(no_ray: Path, address: str) -> None:
    values = resolved(compose_config("retool_ppo", ["device=gpu"]))
    with pytest.raises(ConfigError, match="correct or unset RAY_ADDRESS"):
        check_cluster(values, {"RAY_ADDRESS": address})
    assert check_ray({"RAY_ADDRESS": address}).level is Level.ERROR


def test_a_port_on_which_no_ray_listens_is_told_by_ray(no_ray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "_STATUS_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert why_silent(address) == ""
        check = check_ray({"RAY_ADDRESS": address})
    assert (check.level, "no answer" in check.found) == (Level.ERROR, True)


def test_a_cluster_that_wants_a_token_is_told_apart(no_ray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "why_silent", lambda *_: "")
    monkeypatch.setattr(ray_cluster, "_status_problem", lambda *_: "ray.exceptions.AuthenticationError: ...")
    assert "RAY_AUTH_MODE" in check_ray({"RAY_ADDRESS": "h:1"}).fix


def test_a_cpu_run_starts_a_cluster_of_its_own(no_ray: Path) -> None:
    values = resolved(compose_config("retool_ppo", ["device=cpu"]))
    check_cluster(values, {"RAY_ADDRESS": "127.0.0.1:1"})
    values["ray_kwargs"]["ray_init"]["address"] = "auto"
    with socket.create_server(("127.0.0.1", 0)) as server:
        env = {"RAY_ADDRESS": f"127.0.0.1:{server.getsockname()[1]}"}
        with pytest.raises(ConfigError, match=r"set ray_kwargs\.ray_init\.num_cpus=null"):
            check_cluster(values, env)


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A Ray head whose environment knows nothing of the recipe; its address."""
    folder = Path(tempfile.mkdtemp(prefix="ray"))  # tmp_path is too long for the names of Ray's sockets
    monkeypatch.setenv("RAY_TMPDIR", str(folder))
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else a token of the user's home decides
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block", "--num-cpus=2"]
    command += [
        f"--port={address.partition(':')[2]}",
        "--node-ip-address=127.0.0.1",
        "--include-dashboard=false",
    ]
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RETOOL_", "VERL_"))}
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(
            command, env=env, cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        for _ in range(120):
            if process.poll() is not None or not why_silent(address, 1.0):
                break
            time.sleep(0.5)
        assert process.poll() is None, (folder / "head.log").read_text()
        yield address
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_the_actors_of_a_running_cluster_get_the_sandbox_and_the_log(head: str, tmp_path: Path) -> None:
    extra = {"RETOOL_SANDBOX_URL": "http://10.0.0.7:8080", "VERL_FILE_LOGGER_PATH": str(tmp_path / "m.jsonl")}
    words = ["device=cpu", "model=tiny", assign("trainer.default_local_dir", tmp_path / "seen.json")]
    words += [f"ray_kwargs.ray_init.{key}" for key in ("address=auto", "num_cpus=null", "num_gpus=null")]
    env = {**os.environ, "RAY_ADDRESS": head, "VERL_PLATFORM": "cpu", "RETOOL_HOME": str(home())}
    command = [sys.executable, str(PROBE), *words, *worker_variables(CHOSEN, extra)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert {**extra, "VERL_PLATFORM": "cpu", "RETOOL_HOME": str(home())}.items() <= seen["env"].items()
    assert Path(seen["tools"]).is_file()
    assert check_ray({**os.environ, "RAY_ADDRESS": head}).level is Level.OK
