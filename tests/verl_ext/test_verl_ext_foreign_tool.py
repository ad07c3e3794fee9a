"""Tools that somebody else wrote for verl."""

import asyncio
from typing import Any

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.tools.result import DEFAULT_LIMIT
from recipe.retool.verl_ext.foreign_tool import ForeignTool


class Checker:
    """As verl's own Gsm8kTool: what it compares with comes with the row."""

    name = "checker"

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}

    async def create(self, create_kwargs: dict[str, Any]) -> tuple[str, None]:
        self.made["1"] = create_kwargs
        return "1", None

    async def execute(self, instance: str, parameters: dict[str, Any]) -> tuple[str, float, dict[str, Any]]:
        if "answer" not in parameters:
            raise KeyError("x" * 100_000)
        return str(parameters["answer"] == self.made[instance]["ground_truth"]), 0.0, {}

    async def release(self, instance: str) -> None:
        del self.made[instance]


def call(arguments: Any, given: dict[str, Any]) -> tuple[ToolResult, Checker]:
    checker = Checker()
    return asyncio.run(ForeignTool(checker).call(arguments, Session(given=given))), checker


def test_a_tool_gets_what_the_row_holds_for_it() -> None:
    result, _ = call({"answer": "4"}, {"checker": {"create_kwargs": {"ground_truth": "4"}}, "other": {}})
    assert (result.text, result.kind) == ("True", "ok")


def test_a_row_without_anything_for_it_gives_nothing() -> None:
    assert call({"answer": "4"}, {"checker": None})[0].kind == "error"


def test_an_error_is_a_text_of_bounded_length_and_the_tool_is_released() -> None:
    result, checker = call({}, {})
    assert result.kind == "error"
    assert len(result.text) <= DEFAULT_LIMIT
    assert not checker.made
