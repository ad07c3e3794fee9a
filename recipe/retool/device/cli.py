"""``retool doctor``: what is installed, what is missing, how to mend it."""

import argparse
import os
import sys
from pathlib import Path

from recipe.retool.device import engine_checks, host_checks, package_checks
from recipe.retool.device.checks import Check, Level, render
from recipe.retool.device.detect import AUTO, CPU, detect
from recipe.retool.device.profiles import DEVICES


def main(argv: list[str]) -> int:
    """Run all checks.

    Args:
        argv: Arguments after ``retool doctor``.

    Returns:
        0, or 1 when a check found an error.
    """
    args = _parser().parse_args(argv)
    checks = examine(args.device, args.sandbox_url)
    sys.stdout.write(render(checks))
    return 1 if any(check.level is Level.ERROR for check in checks) else 0


def examine(device: str, sandbox_url: str | None = None) -> list[Check]:
    """All checks for a device ("auto": the detected one), and of a sandbox when its URL is given."""
    detection = detect()
    chosen = detection.device if device == AUTO else device
    checks = [
        host_checks.check_system(),
        host_checks.check_python(),
        host_checks.check_cores(),
        host_checks.check_memory(),
        host_checks.check_disk(Path.cwd()),
        host_checks.check_shared_memory(),
        host_checks.check_device(chosen, detection),
        host_checks.check_environment(chosen, os.environ),
        package_checks.check_installed(),
        package_checks.check_namespace(),
    ]
    checks += [package_checks.check_version(wanted, chosen) for wanted in package_checks.requirements(chosen)]
    checks += package_checks.check_entry_points(chosen)
    if chosen == CPU:
        checks += [engine_checks.check_verl_platform(), engine_checks.check_vllm_platform()]
    checks.append(engine_checks.check_isolation())
    if sandbox_url is not None:
        checks += engine_checks.check_sandboxes(sandbox_url)
    return checks


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="retool doctor", description="Check this machine and what is installed."
    )
    parser.add_argument("--device", choices=[AUTO, *DEVICES], default=AUTO, help="default: what is found")
    parser.add_argument("--sandbox-url", help="also run a program on this sandbox server (several: commas)")
    return parser
