"""A model behind vLLM's OpenAI-compatible server, for the time of an evaluation."""

import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recipe.retool.errors import StageError
from recipe.retool.records.files import look_up
from recipe.retool.stages.commands import EngineCommand, engine_command
from recipe.retool.stages.engine_log import last_error
from recipe.retool.stages.process import Watch, started
from recipe.retool.stages.progress import say

SERVED_NAME = "model"
_ROLLOUT = "actor_rollout_ref.rollout"
_TELL_SECONDS = 30.0
_SERVER_KEY = "VLLM_API_KEY"  # a server that has it refuses requests without it; ours is for this host alone
# A proxy of the environment must not swallow calls to this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@contextmanager
def served(
    model: str, values: dict[str, Any], overrides: list[str], log: Path
) -> Iterator[tuple[str, Watch]]:
    """The address of a server of ``model``, ready to answer, and what raises StageError when it has ended.

    Args:
        model: Folder or hub name.
        values: A resolved RL config; its rollout section sizes the server.
        overrides: The words that it was composed of: they name the device.
        log: The server's log.

    Raises:
        StageError: It does not start.
    """
    port = _free_port()
    command = serve_command(model, values, overrides, port)
    env = {name: value for name, value in command.env.items() if name != _SERVER_KEY}
    say(f"  starting vLLM for {model} (log: {log})")
    with started("vLLM", command.argv, env, log) as engine:
        _wait_until_healthy(engine, port, log)

        def watch() -> None:
            if engine.poll() is not None:
                raise _ended(engine, log, "while it was asked")

        yield f"http://127.0.0.1:{port}/v1", watch


def serve_command(model: str, values: dict[str, Any], overrides: list[str], port: int) -> EngineCommand:
    """vLLM's server with the sizes of the rollout section."""
    # Not `vllm serve`: that command looks for a distribution named vllm, which the CPU build is not.
    words = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model]
    words += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", SERVED_NAME]
    for flag, key in (
        ("--dtype", "dtype"),
        ("--tensor-parallel-size", "tensor_model_parallel_size"),
        ("--gpu-memory-utilization", "gpu_memory_utilization"),
        ("--max-num-seqs", "max_num_seqs"),
        ("--distributed-executor-backend", "engine_kwargs.vllm.distributed_executor_backend"),
    ):
        value = look_up(values, f"{_ROLLOUT}.{key}")
        words += [flag, str(value)] if value is not None else []
    words += ["--generation-config", "vllm"]  # not the model's own: requests say all, as in training
    longest = _longest(values)
    batched = look_up(values, f"{_ROLLOUT}.max_num_batched_tokens") or 0
    words += ["--max-model-len", str(longest), "--max-num-batched-tokens", str(max(batched, longest))]
    words += ["--enforce-eager"] if look_up(values, f"{_ROLLOUT}.enforce_eager") else []
    chunked = look_up(values, f"{_ROLLOUT}.enable_chunked_prefill")
    words += ["--no-enable-chunked-prefill"] if chunked is False else []
    words += ["--trust-remote-code"] if look_up(values, "data.trust_remote_code") else []
    return engine_command(words, overrides, {})


def _longest(values: dict[str, Any]) -> int:
    """Positions that the engine keeps; verl's own rule where the config says nothing."""
    limit = look_up(values, f"{_ROLLOUT}.max_model_len")
    data = values["data"]
    return int(limit or data["max_prompt_length"] + data["max_response_length"])


def _wait_until_healthy(engine: subprocess.Popen[bytes], port: int, log: Path) -> None:
    begin = told = time.monotonic()
    while not _healthy(port):
        if engine.poll() is not None:
            raise _ended(engine, log, "before it was ready")
        if time.monotonic() - told > _TELL_SECONDS:
            told = time.monotonic()
            say(f"  vLLM is loading, {told - begin:.0f} s so far")
        time.sleep(0.5)


def _ended(engine: subprocess.Popen[bytes], log: Path, when: str) -> StageError:
    return StageError(
        f"vLLM ended {when} (exit code {engine.returncode}); full log: {log}\n{last_error(log)}"
    )


def _healthy(port: int) -> bool:
    try:
        with _DIRECT.open(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
