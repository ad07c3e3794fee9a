"""Checking the arguments of a tool call, once, before anything else looks at them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA

_CODE_EXAMPLE = 'call it with {"code": "<python source>"}'
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
    """Arguments that a tool cannot take.

    Attributes:
        kind: ``not_object``, ``missing_NAME``, ``wrong_type``, ``empty_NAME`` or one of the tool's own.
        text: What the model is told, with the way to put it right.
    """

    kind: str
    text: str


def parse_arguments(arguments: Any) -> CodeArguments | BadArguments:
    """Check the decoded JSON of a call of the code interpreter; never raises."""
    given = text_arguments(arguments, ("code",), _CODE_EXAMPLE)
    if isinstance(given, BadArguments):
        return given
    code = strip_fence(given["code"])
    if not code.strip():
        return bad_arguments("empty_code", "the argument 'code' is empty", _CODE_EXAMPLE)
    return CodeArguments(code, tuple(sorted(str(name) for name in arguments if name not in _KNOWN)))


def text_arguments(arguments: Any, names: Sequence[str], example: str) -> dict[str, str] | BadArguments:
    """The arguments of these names, all of them text that is not blank; never raises.

    Args:
        arguments: The decoded JSON of a call, whatever the model put there.
        names: What has to be in it.
        example: What a call looks like, for the text to the model.
    """
    if not isinstance(arguments, dict):
        problem = f"the arguments must be a JSON object, not {_kind_of(arguments)}"
        return bad_arguments("not_object", problem, example)
    for name in names:
        if name not in arguments:
            got = ", ".join(repr(str(other)[:40]) for other in list(arguments)[:5])
            problem = f"the argument {name!r} is missing (got: {got or 'nothing'})"
            return bad_arguments(f"missing_{name}", problem, example)
        if not isinstance(arguments[name], str):
            problem = f"the argument {name!r} must be a string, not {_kind_of(arguments[name])}"
            return bad_arguments("wrong_type", problem, example)
        if not arguments[name].strip():
            return bad_arguments(f"empty_{name}", f"the argument {name!r} is empty", example)
    return {name: arguments[name] for name in names}


def strip_fence(code: str) -> str:
    """The code without one Markdown fence around all of it; anything else is left as it is."""
    match = _FENCE.fullmatch(code)
    if match is None or re.search(r"^[ \t]*```", match["body"], re.MULTILINE):
        return code
    return match["body"]


def bad_arguments(kind: str, problem: str, example: str) -> BadArguments:
    """Arguments with that problem, and the way to put it right."""
    return BadArguments(kind, f"Invalid arguments: {problem}; {example}.")


def _kind_of(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
