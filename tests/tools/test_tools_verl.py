"""The tool as verl loads and calls it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from omegaconf import OmegaConf

pytest.importorskip("verl")
tool_registry = pytest.importorskip("verl.tools.tool_registry")

from recipe.retool.errors import ConfigError  # noqa: E402
from recipe.retool.sandbox.embedded import EmbeddedSandbox  # noqa: E402
from recipe.retool.tools.check_equal import CheckEqual  # noqa: E402
from recipe.retool.tools.interpreter import CodeInterpreter  # noqa: E402
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA, TOOL_NAME  # noqa: E402
from recipe.retool.verl_ext.tool import CodeInterpreterTool, RegistryTool  # noqa: E402

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "tool"


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


class _AgentData:
    """As verl 0.9's own: of one trajectory."""

    def __init__(self) -> None:
        self.extra_fields: dict[str, Any] = {}


def test_the_config_of_two_tools_loads_them_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RETOOL_SANDBOX_URL", "http://127.0.0.1:9")
    tools = tool_registry.load_all_tools(str(CONFIGS / "two_tools.yaml"), None)
    schemas = {
        tool.name: tool.tool_schema.model_dump(exclude_unset=True, exclude_none=True) for tool in tools
    }
    assert schemas == {"code_interpreter": CODE_INTERPRETER_SCHEMA, "check_equal": CheckEqual.schema}
    assert [type(tool.tool) for tool in tools] == [CodeInterpreter, CheckEqual]


def test_both_configs_describe_the_code_interpreter_alike() -> None:
    one, two = (
        OmegaConf.load(CONFIGS / name).tools[0] for name in ("code_interpreter.yaml", "two_tools.yaml")
    )
    assert OmegaConf.to_container(one) == OmegaConf.to_container(two)


def test_a_tool_from_outside_needs_no_class_of_ours(tool: CodeInterpreterTool) -> None:
    config = {"type": "native", "tool": "pkg://recipe.retool.tools.check_equal:CheckEqual",
              "sandbox_url": tool.config["sandbox_url"]}  # fmt: skip
    loaded = RegistryTool(config, None)
    response, _, metrics = _execute(loaded, {"left": "1/2", "right": "0.5"})
    assert (loaded.name, response.text.split("\n")[0], metrics["kind"]) == ("check_equal", "equal", "ok")


def test_a_tool_without_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="`tool`"):
        RegistryTool({"type": "native"}, None)


def test_a_session_of_verls_own_loop_lives_as_long_as_the_trajectory(tool: CodeInterpreterTool) -> None:
    url = tool.config["sandbox_url"]
    stateful = CodeInterpreterTool({"type": "native", "sandbox_url": url, "stateful": True}, None)

    def sessions() -> int:
        return int(httpx.get(f"{url}/health", trust_env=False).json()["sessions"]["open"])

    async def scene() -> tuple[str, int]:
        agent_data = _AgentData()
        await stateful.execute("a", {"code": "x = 5"}, agent_data=agent_data)
        response, _, _ = await stateful.execute("b", {"code": "x"}, agent_data=agent_data)
        during = sessions()
        del agent_data
        for _ in range(50):
            if sessions() == 0:
                break
            await asyncio.sleep(0.1)
        return response.text, during

    assert asyncio.run(scene()) == ("5", 1)
    assert sessions() == 0


def test_without_a_trajectory_a_session_ends_with_its_call(tool: CodeInterpreterTool) -> None:
    url = tool.config["sandbox_url"]
    stateful = CodeInterpreterTool({"type": "native", "sandbox_url": url, "stateful": True}, None)
    assert _execute(stateful, {"code": "1"})[0].text == "1"
    assert httpx.get(f"{url}/health", trust_env=False).json()["sessions"]["open"] == 0


def test_many_calls_at_once(tool: CodeInterpreterTool) -> None:
    async def many() -> list[str]:
        calls = [tool.execute("i", {"code": f"{i} + 0"}) for i in range(24)]
        return [response.text for response, _, _ in await asyncio.gather(*calls)]

    assert asyncio.run(many()) == [str(i) for i in range(24)]
