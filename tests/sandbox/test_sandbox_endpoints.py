"""Addresses and token as users write them, and answers as servers may send them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.errors import ConfigError
from recipe.retool.sandbox.call_settings import CallSettings
from recipe.retool.sandbox.client import AsyncSandboxClient
from recipe.retool.sandbox.endpoints import parse_endpoints, read_token
from recipe.retool.sandbox.types import ExecutionStatus
from recipe.retool.sandbox.wire import decode, parse_response, ping_problem


@pytest.mark.parametrize(
    ("url", "bases"),
    [
        ("http://a:1", ["http://a:1"]),
        ("http://a:1/", ["http://a:1"]),
        ("http://a:1/run_code", ["http://a:1"]),
        ("https://a/faas/run_code/", ["https://a/faas"]),
        (" http://a:1 , http://b:2,, ", ["http://a:1", "http://b:2"]),
        (["http://a:1", "http://b:2/run_code"], ["http://a:1", "http://b:2"]),
        ("http://a:1,http://a:1/run_code", ["http://a:1"]),
        ("http://[::1]:8", ["http://[::1]:8"]),
    ],
)
def test_addresses(url: str | list[str], bases: list[str]) -> None:
    found = parse_endpoints(url)
    assert [endpoint.base for endpoint in found] == bases
    assert found[0].run == f"{bases[0]}/run_code"


@pytest.mark.parametrize(
    "url",
    ["", " , ", [], "a:1", "http://a:1,b", "http://[::1", "http://a:0", "http://a:99999", "http://a?x=1"],
)
def test_addresses_that_cannot_work(url: str | list[str]) -> None:
    with pytest.raises(ConfigError, match="sandbox_url"):
        parse_endpoints(url)


@pytest.mark.parametrize(
    "url", ["http://u:hunter2@a:1", "http://hunter2@a", "ftp://u:hunter2@a", "u:hunter2@["]
)
def test_a_password_in_an_address_is_refused_and_not_shown(url: str) -> None:
    with pytest.raises(ConfigError, match="sandbox_url") as caught:
        parse_endpoints(url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "proxy"), [("127.0.0.9", False), ("[::1]", False), ("localhost", False), ("h", True)]
)
def test_loopback_needs_no_proxy(host: str, proxy: bool) -> None:
    assert parse_endpoints(f"http://{host}:1")[0].use_proxy is proxy


def test_the_token_is_given_or_the_environments() -> None:
    assert read_token("a", {"RETOOL_SANDBOX_TOKEN": "b"}) == "a"
    assert read_token(None, {"RETOOL_SANDBOX_TOKEN": " b\n"}) == "b"
    assert read_token("", {}) == ""


@pytest.mark.parametrize("token", ["hunter2\r\nx: y", "hunter2 x", "hünter2", "hunter2\0"])
def test_a_token_that_is_no_header_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(ConfigError, match="RETOOL_SANDBOX_TOKEN") as caught:
        CallSettings("http://a", token=token)
    assert "hunter2" not in str(caught.value) + repr(caught.value)


def test_no_text_of_the_settings_shows_the_token() -> None:
    settings = CallSettings("http://a", token="hunter2")
    client = AsyncSandboxClient("http://a", token="hunter2")
    assert "hunter2" not in f"{settings!r} {settings} {client!r} {client.settings!r}"
    assert settings.headers["authorization"] == "Bearer hunter2"


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(10**400),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_near = st.fixed_dictionaries(
    {"status": st.sampled_from(["Success", "Failed"]) | _json, "message": _json},
    optional={
        "run_result": _json
        | st.fixed_dictionaries(
            {"status": st.sampled_from(["Finished", "TimeLimitExceeded"]) | _json, "return_code": _json},
            optional={"stdout": _json, "stderr": _json, "execution_time": _json},
        )
    },
)


@given(st.sampled_from([200, 401, 404, 500, 503]), _near | _json)
def test_no_answer_breaks_the_reading(code: int, body: object) -> None:
    result = parse_response(code, body)
    assert code == 200 or result.status is ExecutionStatus.UNAVAILABLE
    assert 0 <= abs(result.seconds) < float("inf")
    assert ping_problem(code, body) or (code, body) == (200, "pong")


@given(st.binary(max_size=40) | st.just(b"[" * 100_000) | st.just(b"1" * 5000))
def test_any_bytes_are_decoded(content: bytes) -> None:
    decoded = decode(content)
    assert isinstance(decoded, str) or json.loads(content) is not None or decoded is None
