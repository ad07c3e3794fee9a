"""The tool as verl loads and calls it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("verl")
tool_registry = pytest.importorskip("verl.tools.tool_registry")

from recipe.retool.errors import ConfigError  # noqa: E402
from recipe.retool.sandbox.embedded import EmbeddedSandbox  # noqa: E402
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA, TOOL_NAME  # noqa: E402
from recipe.retool.verl_ext.tool import CodeInterpreterTool  # noqa: E402


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeInterpreterTool]:
    """The tool as a worker gets it from a config file, on a running server."""
    with EmbeddedSandbox(workers=2) as sandbox:
        path = tmp_path_factory.mktemp("tool") / "tool.yaml"
        path.write_text(
            "tools:\n- class_name: recipe.retool.verl_ext.tool.CodeInterpreterTool\n"
            f"  config: {{type: native, sandbox_url: '{sandbox.url}', timeout: 2}}\n"
        )
        yield _load(path)


def _load(path: Path) -> CodeInterpreterTool:
    (loaded,) = tool_registry.initialize_tools_from_config(str(path))
    return loaded


def _execute(tool: CodeInterpreterTool, parameters: Any, **kwargs: Any) -> tuple[Any, float, dict[str, Any]]:
    return asyncio.run(tool.execute("instance", parameters, **kwargs))


def test_the_model_sees_the_one_schema(tool: CodeInterpreterTool) -> None:
    dumped = tool.tool_schema.model_dump(exclude_unset=True, exclude_none=True)
    assert (tool.name, dumped) == (TOOL_NAME, CODE_INTERPRETER_SCHEMA)


def test_a_different_schema_is_refused(tool: CodeInterpreterTool) -> None:
    other = tool.tool_schema.model_copy(deep=True)
    other.function.description = "Runs Python."
    with pytest.raises(ConfigError, match="tool_schema"):
        CodeInterpreterTool({"sandbox_url": "http://127.0.0.1:9"}, other)


def test_a_call_gives_text_no_reward_and_metrics(tool: CodeInterpreterTool) -> None:
    response, reward, metrics = _execute(tool, {"code": "6 * 7"})
    assert (response.text, reward) == ("42", 0.0)
    assert metrics["kind"] == "ok"


def test_calls_are_counted_per_trajectory(tool: CodeInterpreterTool) -> None:
    agent_data = SimpleNamespace(extra_fields={})
    for parameters in (
        {"code": "1"},
        {"code": "1/0"},
        {"code": "while 1: pass"},
        {},
        [],
        {"code": "x=1\ny=2"},
    ):
        _execute(tool, parameters, agent_data=agent_data)
    stats = agent_data.extra_fields["tool_stats"]
    assert stats.pop("seconds") > 2
    assert stats == {"calls": 6, "ok": 2, "errors": 1, "timeouts": 1, "bad_arguments": 2, "unavailable": 0,
                     "unknown": 0, "code_lines": 5}  # fmt: skip


def test_no_trajectory_no_count(tool: CodeInterpreterTool) -> None:
    assert _execute(tool, {"code": "1"})[0].text == "1"


def test_a_dead_sandbox_raises_nothing() -> None:
    dead = CodeInterpreterTool({"sandbox_url": "http://127.0.0.1:9", "retries": 0}, None)
    agent_data = SimpleNamespace(extra_fields={})
    response, _, metrics = _execute(dead, {"code": "1"}, agent_data=agent_data)
    assert (metrics["kind"], agent_data.extra_fields["tool_stats"]["unavailable"]) == ("unavailable", 1)
    assert response.text


def test_a_config_without_an_address_stops_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RETOOL_SANDBOX_URL", raising=False)
    with pytest.raises(ConfigError, match="sandbox_url"):
        CodeInterpreterTool({"type": "native"}, None)


def test_many_calls_at_once(tool: CodeInterpreterTool) -> None:
    async def many() -> list[str]:
        calls = [tool.execute("i", {"code": f"{i} + 0"}) for i in range(24)]
        return [response.text for response, _, _ in await asyncio.gather(*calls)]

    assert asyncio.run(many()) == [str(i) for i in range(24)]
