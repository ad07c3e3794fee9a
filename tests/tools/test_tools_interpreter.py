"""The engine-free code interpreter, on a real server."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from omegaconf import OmegaConf

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.endpoints import parse_endpoints
from recipe.retool.tools.interpreter import CodeInterpreter
from recipe.retool.tools.result import DEFAULT_LIMIT
from recipe.retool.tools.settings import InterpreterSettings


@pytest.fixture(scope="module")
def sandbox() -> Iterator[EmbeddedSandbox]:
    """A running server."""
    with EmbeddedSandbox(workers=2) as server:
        yield server


def _call(url: str, arguments: Any, **config: Any) -> ToolResult:
    tool = CodeInterpreter.from_config({"sandbox_url": url, "timeout": 2, **config}, {})
    return asyncio.run(tool.call(arguments, Session()))


@pytest.mark.parametrize(
    ("code", "kind", "text", "lines"),
    [
        ("x = 2\n\nx + 1", "ok", "3", 2),
        ("```python\nprint('a')\n```", "ok", "a", 1),
        ("x = 2", "ok", "(no output; use print() to see a value)", 1),
        ("while True: pass", "timeout", "[stopped: the time limit was reached]", 1),
        ("import os\nos.kill(os.getpid(), 9)", "killed", "[stopped: killed by SIGKILL]", 2),
        ("[].append(1)", "ok", "(no output; use print() to see a value)", 1),
    ],
)
def test_calls(sandbox: EmbeddedSandbox, code: str, kind: str, text: str, lines: int) -> None:
    outcome = _call(sandbox.url, {"code": code})
    assert (outcome.kind, outcome.text, outcome.code_lines) == (kind, text, lines)
    assert outcome.seconds > 0


def test_the_model_meets_its_own_error(sandbox: EmbeddedSandbox) -> None:
    outcome = _call(sandbox.url, {"code": "a = 1\nprint(a / 0)"})
    assert outcome.kind == "error"
    assert outcome.text.startswith(
        'Traceback (most recent call last):\n  File "main.py", line 2, in <module>'
    )
    assert outcome.text.endswith("ZeroDivisionError: division by zero")


def test_the_same_error_reads_the_same_twice(sandbox: EmbeddedSandbox) -> None:
    code = {"code": "import json\njson.loads('x')"}
    assert _call(sandbox.url, code).text == _call(sandbox.url, code).text


def test_memory(sandbox: EmbeddedSandbox) -> None:
    outcome = _call(sandbox.url, {"code": "x = [0] * 10**9"}, memory_limit_mb=256)
    assert outcome.kind == "memory"


def test_bad_arguments_are_counted_apart() -> None:
    assert _call("http://127.0.0.1:9", {}).kind == "bad_arguments:missing_code"


def test_a_dead_sandbox_is_a_text() -> None:
    outcome = _call("http://127.0.0.1:9", {"code": "1"}, retries=0)
    assert outcome.kind == "unavailable"
    assert "not available" in outcome.text


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"sandbox_url": "http://x", "time_out": 3}, "time_out"),
        ({"sandbox_url": "http://x", "timeout": "soon"}, "timeout"),
        ({"sandbox_url": "http://x", "retries": 1.5}, "retries"),
        ({"sandbox_url": "http://x", "retries": True}, "retries"),
        ({"sandbox_url": "http://x", "max_result_chars": 0}, "max_result_chars"),
        ({"sandbox_url": "http://x", "max_concurrency_per_node": True}, "max_concurrency_per_node"),
        ({}, "RETOOL_SANDBOX_URL"),
    ],
)
def test_a_bad_config_names_its_key(config: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        InterpreterSettings.from_config(config, {})


def test_the_address_may_come_from_the_environment() -> None:
    settings = InterpreterSettings.from_config({"type": "native"}, {"RETOOL_SANDBOX_URL": "http://x"})
    assert (settings.sandbox_url, settings.max_result_chars) == ("http://x", DEFAULT_LIMIT)


@pytest.mark.parametrize("key", ["sandbox_url", "RETOOL_SANDBOX_URL"])
def test_there_may_be_several_addresses(key: str) -> None:
    several = "http://x:1, http://y:2"
    config, environ = ({key: several}, {}) if key == "sandbox_url" else ({}, {key: several})
    assert len(parse_endpoints(InterpreterSettings.from_config(config, environ).sandbox_url)) == 2


def test_addresses_may_be_a_list_of_yaml() -> None:
    config = OmegaConf.create({"sandbox_url": ["http://x:1", "http://y:2"]})
    assert InterpreterSettings.from_config(config, {}).sandbox_url == "http://x:1,http://y:2"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"sandbox_url": "http://x,y"}, "sandbox_url"),
        ({"deadline": -1}, "deadline"),
        ({"max_concurrency_per_node": -1}, "per node"),
        ({"token": "hunter2\n2"}, "RETOOL_SANDBOX_TOKEN"),
    ],
)
def test_settings_that_cannot_work_stop_the_start(config: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        CodeInterpreter.from_config({"sandbox_url": "http://x", **config}, {})


def test_the_token_is_in_no_text() -> None:
    settings = InterpreterSettings.from_config({"sandbox_url": "http://x", "token": "hunter2"}, {})
    assert settings.token == "hunter2"
    assert "hunter2" not in f"{settings}"
    with pytest.raises(ConfigError, match="token") as caught:
        InterpreterSettings.from_config({"token": True}, {})
    assert "True" not in str(caught.value)


def test_these_rooms_need_no_engine() -> None:
    modules = "recipe.retool.tools.settings, recipe.retool.sandbox.cli"
    engines = "{'torch', 'ray', 'verl', 'vllm', 'transformers'}"
    code = f"import sys, {modules}; sys.exit(' '.join({engines} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
