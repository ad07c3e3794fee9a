"""Tools by name, from outside too, and the checker of equality."""

import asyncio
import json
import sys
from importlib import metadata
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.sandbox.types import ExecutionResult, ExecutionStatus
from recipe.retool.tools.check_equal import CheckEqual
from recipe.retool.tools.equality_program import CANNOT_TELL, EQUAL, NOT_EQUAL, compare, read
from recipe.retool.tools.interpreter import CodeInterpreter
from recipe.retool.tools.registry import tool_class, tool_name, tool_names
from recipe.retool.tools.result import error_name


class Shout:
    """A third party's tool."""

    schema: ClassVar[dict[str, Any]] = {"type": "function", "function": {"name": "shout"}}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Shout":
        return cls()

    async def call(self, arguments: Any, session: Session) -> ToolResult:
        return ToolResult(str(arguments).upper(), "ok")


@pytest.fixture
def outside(monkeypatch: pytest.MonkeyPatch) -> str:
    """A module of a third party."""
    module = ModuleType("third_party_tools")
    vars(module).update(Shout=Shout, half=object())
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module.__name__


@pytest.mark.parametrize("name", ["code_interpreter", "check_equal"])
def test_a_tool_of_the_recipe_has_the_name_of_its_schema(name: str) -> None:
    assert tool_name(tool_class(name)) == name
    assert name in tool_names()


def test_a_config_may_point_at_a_class(outside: str) -> None:
    tool = tool_class(f"pkg://{outside}:Shout").from_config({})
    assert asyncio.run(tool.call("hey", Session())).text == "HEY"


def test_a_package_may_bring_a_tool(outside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    point = metadata.EntryPoint("shout", f"{outside}:Shout", "retool.tools")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [point] if group == "retool.tools" else [])
    assert tool_class("shout") is Shout
    assert tool_names() == ["check_equal", "code_interpreter", "shout"]


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("browser", "known are"),
        ("pkg://no_such_module:Tool", "cannot load"),
        ("pkg://third_party_tools:Nobody", "cannot load"),
        ("pkg://third_party_tools", "module:Class"),
        ("pkg://third_party_tools:half", "no tool"),
    ],
)
def test_a_name_that_leads_to_no_tool_is_a_config_error(outside: str, name: str, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        tool_class(name)


@pytest.mark.parametrize(
    ("left", "right", "verdict"),
    [
        ("sqrt(8)", "2*sqrt(2)", EQUAL),
        ("(x+1)^2", "x**2 + 2*x + 1", EQUAL),
        ("0.5", "1/2", EQUAL),
        ("sin(1)**2 + cos(1)**2", "1", EQUAL),
        ("[1, 1/2]", "(1, 0.5)", EQUAL),
        ("{1, 2}", "{2, 1}", EQUAL),
        ("oo", "oo", EQUAL),
        ("1/3", "0.333", NOT_EQUAL),
        ("pi", "3.14159265358979323846264338327950288", NOT_EQUAL),
        ("sqrt(x**2)", "x", NOT_EQUAL),
        ("[1, 2]", "[1, 3]", NOT_EQUAL),
        ("[1, 2]", "[1]", NOT_EQUAL),
        ("{1, 2}", "{1, 3}", NOT_EQUAL),
        ("x < 1", "x < 2", CANNOT_TELL),
        ("'a'", "[1]", CANNOT_TELL),
    ],
)
def test_verdicts(left: str, right: str, verdict: str) -> None:
    assert compare(read(left), read(right))[0] == verdict


@given(st.fractions(max_denominator=1000), st.fractions(max_denominator=1000))
@settings(max_examples=40, deadline=None)
def test_rational_numbers_are_told_apart_exactly(a: Any, b: Any) -> None:
    assert compare(read(f"{a}"), read(f"{b}"))[0] == (EQUAL if a == b else NOT_EQUAL)


class _Recorder:
    """Keeps what it is given to run."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, str]] = []

    async def run(self, code: str, stdin: str | None = None) -> ExecutionResult:
        self.runs.append((code, stdin or ""))
        return ExecutionResult(ExecutionStatus.OK, "equal\n", "", 0)


@given(st.text(min_size=1).filter(str.strip), st.text(min_size=1).filter(str.strip))
@settings(max_examples=50)
def test_expressions_are_data_and_never_part_of_the_program(left: str, right: str) -> None:
    client = _Recorder()
    tool = CheckEqual(client)
    for arguments in ({"left": left, "right": right}, {"left": "1", "right": "1"}):
        asyncio.run(tool.call(arguments, Session()))
    (code, stdin), (other, _) = client.runs
    assert code == other
    assert json.loads(stdin) == {"left": left, "right": right}


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ([], "not_object"),
        ({"left": "1"}, "missing_right"),
        ({"left": 1, "right": "1"}, "wrong_type"),
        ({"left": " ", "right": "1"}, "empty_left"),
        ({"left": "1" * 20_000, "right": "1"}, "too_long"),
    ],
)
def test_bad_arguments_are_a_text_with_an_example(arguments: Any, kind: str) -> None:
    client = _Recorder()
    result = asyncio.run(CheckEqual(client).call(arguments, Session()))
    assert (result.kind, client.runs) == (f"bad_arguments:{kind}", [])
    assert '{"left": "sqrt(8)", "right": "2*sqrt(2)"}' in result.text


def test_both_tools_on_a_real_server() -> None:
    with EmbeddedSandbox(workers=2) as sandbox:
        config = {"sandbox_url": sandbox.url, "type": "native", "tool": "check_equal"}
        check = CheckEqual.from_config(config, {})
        call = lambda left: asyncio.run(check.call({"left": left, "right": "1/2"}, Session()))  # noqa: E731
        assert call("0.5").text == "equal\nleft = 1/2 = 0.500000000000000\nright = 1/2 = 0.500000000000000"
        bad = call("0.5 +")
        assert bad.kind == "error"
        assert bad.text.startswith("the argument 'left' cannot be read: SyntaxError")
        hostile = call("__import__('os')._exit(3)")  # ends its own run, and nothing of ours
        assert hostile.kind == "error"
        code = CodeInterpreter.from_config({"sandbox_url": sandbox.url}, {})
        assert asyncio.run(code.call({"code": "1 / 2"}, Session())).text == "0.5"


@pytest.mark.parametrize(
    ("stderr", "name"),
    [
        (
            'Traceback (most recent call last):\n  File "m", line 1, in <module>\n    x\nNameError: no x\n',
            "NameError",
        ),
        ('  File "main.py", line 1\n    f(:\n      ^\nSyntaxError: invalid syntax\n', "SyntaxError"),
        (
            'Traceback (most recent call last):\n  File "m", line 1, in f\nValueError: two\nlines: here\n',
            "ValueError",
        ),
        ('Traceback (most recent call last):\n  File "m", line 1, in f\na.b.Odd\n', "Odd"),
        ("a warning: nothing more\n", ""),
        ("", ""),
    ],
)
def test_the_name_of_an_error(stderr: str, name: str) -> None:
    assert error_name(stderr) == name


@given(st.text())
def test_the_name_of_an_error_is_an_identifier_or_nothing(stderr: str) -> None:
    assert error_name(stderr) == "" or error_name(stderr).isidentifier()
