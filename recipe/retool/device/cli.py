"""``retool doctor``: what is installed, what is missing, how to mend it."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from recipe.retool.device import accelerator_checks, engine_checks, host_checks, package_checks
from recipe.retool.device.checks import Check, Level, error, render, render_json
from recipe.retool.device.detect import AUTO, CPU, detect
from recipe.retool.device.profiles import DEVICES
from recipe.retool.device.stacks import DEFAULT_STACK, STACKS, check_device
from recipe.retool.errors import ConfigError


def main(argv: list[str]) -> int:
    """Run all checks.

    Args:
        argv: Arguments after ``retool doctor``.

    Returns:
        0, or 1 when a check found an error.

    Raises:
        ConfigError: The stack does not know the device.
    """
    args = _parser().parse_intermixed_args(argv)
    device, stack = _chosen(args)
    try:
        checks = examine(device, args.sandbox_url, stack, args.run)
    except ConfigError as problem:
        if not args.json:
            raise
        checks = [error("choice", "refused", str(problem))]  # who asked for JSON reads nothing else
    sys.stdout.write((render_json if args.json else render)(checks))
    return 1 if any(check.level is Level.ERROR for check in checks) else 0


def examine(
    device: str, sandbox_url: str | None = None, stack: str = DEFAULT_STACK, run: Sequence[str] = ()
) -> list[Check]:
    """All checks for a device ("auto": the detected one), of a sandbox, and of a planned run.

    Args:
        device: One of the devices, or "auto".
        sandbox_url: A sandbox to try.
        stack: The stack to compare the installed packages with.
        run: Hydra overrides of a planned `retool rl`.

    Raises:
        ConfigError: The stack does not know the device.
    """
    detection = detect()
    chosen = detection.device if device == AUTO else device
    check_device(stack, chosen)
    checks = [
        host_checks.check_system(),
        host_checks.check_python(),
        host_checks.check_cores(),
        host_checks.check_memory(),
        host_checks.check_disk(Path.cwd()),
        host_checks.check_shared_memory(device=chosen),
        host_checks.check_device(chosen, detection),
        host_checks.check_environment(chosen, os.environ, stack),
        package_checks.check_installed(),
        package_checks.check_namespace(),
    ]
    wanted = package_checks.requirements(chosen, stack)
    checks += [package_checks.check_version(one, chosen) for one in wanted]
    checks += package_checks.check_entry_points(chosen)
    if "triton-ascend" in {one.name for one in wanted}:
        checks.append(package_checks.check_triton())
    if chosen == CPU:
        checks += [engine_checks.check_verl_platform(), engine_checks.check_vllm_platform()]
    else:
        checks += accelerator_checks.check_accelerator(chosen, stack, detection)
    checks.append(engine_checks.check_isolation())
    if sandbox_url is not None:
        checks += [*engine_checks.check_sandboxes(sandbox_url), engine_checks.check_load(sandbox_url)]
    if run:
        from recipe.retool.stages.run_checks import examine_run

        usable = detection.count if detection.device == chosen != CPU else None
        checks += examine_run([f"device={chosen}", f"stack={stack}", *run], usable)
    return checks


def _chosen(args: argparse.Namespace) -> tuple[str, str]:
    """device= and stack= of a planned run count as the options do, and leave the run's overrides."""
    chosen = {"device": args.device, "stack": args.stack}
    for word in list(args.run):
        key, _, value = word.partition("=")
        if key in chosen:
            chosen[key] = value
            args.run.remove(word)
    return chosen["device"], chosen["stack"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retool doctor", description="Check this machine, what is installed, and a planned run."
    )
    parser.add_argument("--device", choices=[AUTO, *DEVICES], default=AUTO, help="default: what is found")
    parser.add_argument("--stack", choices=STACKS, default=DEFAULT_STACK, help="default: %(default)s")
    parser.add_argument(
        "--sandbox-url", help="also run programs on this sandbox server (several: commas), many at once"
    )
    parser.add_argument("--json", action="store_true", help="a list of objects instead of the table")
    parser.add_argument(
        "run", nargs="*", metavar="key=value", help="overrides of a planned `retool rl`: check these too"
    )
    return parser
