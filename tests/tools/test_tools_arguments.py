"""Arguments of a tool call: good ones, bad ones, and the text for the model."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.tools.arguments import BadArguments, CodeArguments, parse_arguments, strip_fence


@pytest.mark.parametrize(
    ("arguments", "kind", "names"),
    [
        (None, "not_object", "null"),
        ("print(1)", "not_object", "a string"),
        ([1], "not_object", "a list"),
        (1.5, "not_object", "a number"),
        ({}, "missing_code", "nothing"),
        ({"script": "1"}, "missing_code", "'script'"),
        ({1: 2}, "missing_code", "'1'"),
        ({"code": None}, "wrong_type", "null"),
        ({"code": ["a"]}, "wrong_type", "a list"),
        ({"code": {"a": 1}}, "wrong_type", "an object"),
        ({"code": True}, "wrong_type", "a boolean"),
        ({"code": ""}, "empty_code", "empty"),
        ({"code": " \n"}, "empty_code", "empty"),
        ({"code": "```python\n```"}, "empty_code", "empty"),
    ],
)
def test_bad_arguments_say_what_and_how(arguments: Any, kind: str, names: str) -> None:
    checked = parse_arguments(arguments)
    assert isinstance(checked, BadArguments)
    assert checked.kind == kind
    assert names in checked.text
    assert '{"code":' in checked.text


def test_further_arguments_are_ignored_and_named() -> None:
    assert parse_arguments({"code": "1", "timeout": 9, "envs": {}}) == CodeArguments("1", ("envs", "timeout"))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("```python\nprint(1)\n```", "print(1)"),
        ("```py\r\nprint(1)\r\n```", "print(1)"),
        ("```\nprint(1)\n```", "print(1)"),
        ("\n```Python\nif x:\n    y\n```\n", "if x:\n    y"),
        ("```python\n    x = 1\n```", "    x = 1"),
        ("```python\nprint('```')\n```", "print('```')"),
    ],
)
def test_a_fence_around_all_of_it_goes(code: str, expected: str) -> None:
    assert strip_fence(code) == expected


@pytest.mark.parametrize(
    "code",
    [
        "print(1)",
        "  x",
        "print('''```python\n1\n```''')",
        "```python\nprint(1)",
        "```python\na\n```\nand\n```python\nb\n```",
        "text\n```python\na\n```",
    ],
)
def test_other_code_is_left_as_it_is(code: str) -> None:
    assert strip_fence(code) == code


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.just("code") | st.text(), inner, max_size=3)
    ),
)


@given(_JSON)
def test_nothing_raises(arguments: Any) -> None:
    assert isinstance(parse_arguments(arguments), (CodeArguments, BadArguments))
