"""The CPU platform: there when asked for, inert otherwise."""

import os
import subprocess
import sys

ASK = "import verl; from verl.plugin.platform import get_platform; print(get_platform().device_name)"


def run(code: str, **env: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VERL_")}
    done = subprocess.run([sys.executable, "-c", code], env={**clean, **env}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


def test_platform_is_cpu_when_asked_for() -> None:
    assert run(ASK, VERL_PLATFORM="cpu") == "cpu"


def test_plugin_does_nothing_unless_asked() -> None:
    code = "import verl, importlib.metadata as m, torch.distributed as d; "
    code += "print(hasattr(d.init_process_group, '_retool'), m.version.__module__)"
    assert run(code) == "False importlib.metadata"


def test_fsdp_engines_serve_the_cpu() -> None:
    code = "from verl.workers.engine import EngineRegistry; "
    code += "print(EngineRegistry.get_engine_cls('language_model', 'fsdp2').__name__)"
    assert "FSDP" in run(code, VERL_PLATFORM="cpu")
