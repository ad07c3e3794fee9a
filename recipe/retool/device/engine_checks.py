"""Checks that run something: verl with the CPU platform in a subprocess, a program in the sandbox."""

import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from recipe.retool.device.checks import Check, error, ok, warning
from recipe.retool.device.profiles import environment
from recipe.retool.errors import ConfigError

_IMPORT_SECONDS = 180.0
_SANDBOX_SECONDS = 10.0
_VERL_PROGRAM = (
    "import verl; from verl.plugin.platform import get_platform as get; print('platform', get().device_name)"
)
_VLLM_PROGRAM = "from vllm.platforms import current_platform; print('platform', current_platform.device_type)"


def check_verl_platform(device: str = "cpu") -> Check:
    """``import verl`` works, loads the plugin and ends up on the CPU platform."""
    return _check_platform("verl platform", _VERL_PROGRAM, device)


def check_vllm_platform(device: str = "cpu") -> Check:
    """``import vllm`` works and chooses its CPU platform."""
    return _check_platform("vllm platform", _VLLM_PROGRAM, device)


def check_sandboxes(url: str) -> list[Check]:
    """At each address in ``url`` (several with commas between them) a sandbox answers and runs a program."""
    from recipe.retool.sandbox.endpoints import parse_endpoints

    try:
        return [_check_sandbox(endpoint.base) for endpoint in parse_endpoints(url)]
    except ConfigError as problem:
        return [error("sandbox", "bad setting", str(problem))]


def _check_sandbox(url: str) -> Check:
    from recipe.retool.sandbox.client import SyncSandboxClient

    name = "sandbox"
    client = SyncSandboxClient(url, timeout=_SANDBOX_SECONDS, retries=0, deadline=2 * _SANDBOX_SECONDS)
    result = client.run("print(1+1)")
    client.close()
    if result.ok and result.stdout.strip() == "2":
        return ok(name, f"{url} ran print(1+1) in {result.seconds:.2f} s")
    seen = f"{result.status.value}: {result.message or result.stderr or result.stdout}".strip()[-300:]
    return error(
        name, f"{url}: {seen}", "start one with `retool sandbox serve` and see `retool sandbox check`"
    )


def check_load(url: str, concurrency: int = 32) -> Check:
    """The sandbox answers as many calls at once as the tool sends (its ``max_concurrency``)."""
    from recipe.retool.sandbox.client import SyncSandboxClient

    name, calls = "sandbox load", 2 * concurrency

    def call(_: int) -> float | None:
        client = SyncSandboxClient(url, timeout=_SANDBOX_SECONDS, retries=0, deadline=2 * _SANDBOX_SECONDS)
        started = time.monotonic()
        result = client.run("print(1+1)")
        client.close()
        return time.monotonic() - started if result.ok else None

    try:
        with ThreadPoolExecutor(concurrency) as pool:
            answers = list(pool.map(call, range(calls)))
    except ConfigError as problem:
        return error(name, url, str(problem))
    seconds = sorted(answer for answer in answers if answer is not None)
    failed = calls - len(seconds)
    if failed:
        return error(
            name, f"{failed} of {calls} calls failed, {concurrency} at once", "more workers for the sandbox"
        )
    text = (
        f"p50 {seconds[calls // 2]:.2f} s, p95 {seconds[int(calls * 0.95)]:.2f} s with {concurrency} at once"
    )
    if seconds[int(calls * 0.95)] > _SANDBOX_SECONDS / 2:
        return warning(name, text, "more workers for the sandbox, or a lower max_concurrency")
    return ok(name, text)


def check_isolation() -> Check:
    """What would keep the programs of a sandbox on this machine apart from it."""
    from recipe.retool.sandbox.zygote.probe import probe_isolation
    from recipe.retool.sandbox.zygote.probe_container import probe_container

    name, seen = "isolation", probe_isolation()
    if seen.works and "seccomp" in seen.active:
        return ok(name, ", ".join(seen.names()))
    why = "; ".join(f"{what}: {reason}" for what, reason in seen.missing)
    if not seen.works:
        other = probe_container()
        why += f"; without namespaces: {other.text()}"
    return warning(name, why, "a sandbox here has fewer walls: run it in a container or on a host of its own")


def _check_platform(name: str, program: str, device: str) -> Check:
    fix = f"run it by hand to see more: VERL_PLATFORM={device} python -c {program!r}"
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment(device, os.environ),
            capture_output=True,
            text=True,
            timeout=_IMPORT_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except ConfigError as problem:
        return error(name, "not tried", str(problem))
    except subprocess.TimeoutExpired:
        return error(name, f"no answer in {_IMPORT_SECONDS:g} s", fix)
    if f"platform {device}" in done.stdout.splitlines():
        return ok(name, device)
    lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
    return error(name, lines[-1][:300], fix)
