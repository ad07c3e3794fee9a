"""Checking the arguments of a tool call, once, before anything else looks at them."""

import re
from dataclasses import dataclass
from typing import Any

from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA

_EXAMPLE = 'call it with {"code": "<python source>"}'
_KNOWN = frozenset(CODE_INTERPRETER_SCHEMA["function"]["parameters"]["properties"])
_FENCE = re.compile(r"\s*```[\w+-]*[ \t]*\r?\n(?P<body>.*?)\r?\n?[ \t]*```\s*", re.DOTALL)


@dataclass(frozen=True)
class CodeArguments:
    """Arguments that can be executed.

    Attributes:
        code: Python source, without a Markdown fence around it.
        ignored: Names of further arguments. The schema knows none; refusing the call for them would
            cost the model an answer that it could have had.
    """

    code: str
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True)
class BadArguments:
    """Arguments that cannot be executed.

    Attributes:
        kind: ``not_object``, ``missing_code``, ``wrong_type`` or ``empty_code``; counted apart.
        text: What the model is told, with the way to put it right.
    """

    kind: str
    text: str


def parse_arguments(arguments: Any) -> CodeArguments | BadArguments:
    """Check the decoded JSON of a call of the code interpreter; never raises."""
    if not isinstance(arguments, dict):
        return _bad("not_object", f"the arguments must be a JSON object, not {_kind_of(arguments)}")
    if "code" not in arguments:
        names = ", ".join(repr(str(name)[:40]) for name in list(arguments)[:5])
        return _bad("missing_code", f"the argument 'code' is missing (got: {names or 'nothing'})")
    code = arguments["code"]
    if not isinstance(code, str):
        return _bad("wrong_type", f"the argument 'code' must be a string, not {_kind_of(code)}")
    code = strip_fence(code)
    if not code.strip():
        return _bad("empty_code", "the argument 'code' is empty")
    return CodeArguments(code, tuple(sorted(str(name) for name in arguments if name not in _KNOWN)))


def strip_fence(code: str) -> str:
    """The code without one Markdown fence around all of it; anything else is left as it is."""
    match = _FENCE.fullmatch(code)
    if match is None or re.search(r"^[ \t]*```", match["body"], re.MULTILINE):
        return code
    return match["body"]


def _bad(kind: str, problem: str) -> BadArguments:
    return BadArguments(kind, f"Invalid arguments: {problem}; {_EXAMPLE}.")


def _kind_of(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
