"""Tools with scripted results, and texts that look like what models write."""

import asyncio
import json
from typing import Any

from hypothesis import strategies as st

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.env.episode import Episode

HERMES = (
    "<tool_call>",
    "</tool_call>",
    '{"name": "echo", "arguments": {"x": 1}}',
    '{"name": ',
    '"}',
    "[1, 2]",
)
TAGS = ("<code>", "</code>", "```python\n", "print(1)", "<interpreter>", "</interpreter>")
OTHER = ("<|im_end|>", "\\boxed{3}", "<tool_response>", "\n", '"', "\\", "é", "\U0001f600", "< / code >")
PROBLEMS = ("tool_unknown", "tool_malformed", "tool_incomplete", "tool_not_run")
KINDS = ("ok", "error", "timeout", "unavailable", "bad_arguments:not_object", "memory")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.text(min_size=1, max_size=12).filter(lambda name: name == name.strip())


def wild(*pieces: str) -> st.SearchStrategy[str]:
    """Texts of markup in any order, whole calls and their ruins among them."""
    piece = st.sampled_from([*pieces, *OTHER]) | st.text(max_size=6)
    return st.lists(piece, max_size=12).map("".join)


def hermes_call(name: str, arguments: Any, ascii_only: bool = False) -> str:
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=ascii_only)
    return f"<tool_call>\n{body}\n</tool_call>"


class Echo:
    """Answers with its arguments; ``kind`` in them is the result's kind, ``wait`` sleeps that long."""

    def __init__(self) -> None:
        self.running = self.most = self.calls = 0

    async def call(self, arguments: Any, session: Session) -> ToolResult:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        given = arguments if isinstance(arguments, dict) else {}
        await asyncio.sleep(given.get("wait", 0))
        self.running -= 1
        return ToolResult(repr(arguments), given.get("kind", "ok"), 0.5, 2, error=given.get("error", ""))


class Broken:
    """A tool that breaks its word."""

    def __init__(self, problem: Exception) -> None:
        self.problem = problem

    async def call(self, arguments: Any, session: Session) -> ToolResult:
        raise self.problem


def outcomes(episode: Episode) -> int:
    """The calls that the counters account for."""
    return int(episode.counters["tool_calls"] + sum(episode.counters[name] for name in PROBLEMS))
