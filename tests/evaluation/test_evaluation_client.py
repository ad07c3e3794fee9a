"""The client of OpenAI-compatible servers, over real HTTP."""

import asyncio

import pytest
from scripted_server import Reply, Script, serving

from recipe.retool.errors import StageError
from recipe.retool.evaluation import client as client_module
from recipe.retool.evaluation.client import Client, NotGenerated, served_models

TOKENS: Reply = {"text": "a", "token_ids": [7, 8]}


def ask(script: Script) -> list[int]:
    with serving(script) as url:
        return list(asyncio.run(Client(url, "m").tokens([1, 2], {"temperature": 0.5, "top_k": 3})).ids)


def test_tokens_go_in_and_come_out() -> None:
    script = Script(lambda body: TOKENS)
    assert ask(script) == [7, 8]
    assert script.asked[0]["prompt"] == [1, 2]


def test_parameters_of_vllm_s_own_stand_beside_the_others() -> None:
    script = Script(lambda body: TOKENS)
    ask(script)
    assert (script.asked[0]["temperature"], script.asked[0]["top_k"]) == (0.5, 3)


def test_an_overloaded_server_is_asked_again() -> None:
    script = Script(lambda body: TOKENS if len(script.asked) > 1 else 503)
    assert ask(script) == [7, 8]


def test_a_request_that_is_too_long_does_not_end_the_others() -> None:
    with pytest.raises(NotGenerated, match="maximum context length") as caught:
        ask(Script(lambda body: "This model's maximum context length is 9 tokens"))
    assert (caught.value.fatal, caught.value.too_long) == (False, True)


def test_no_message_repeats_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with pytest.raises(NotGenerated, match=r"wrong key \(OPENAI_API_KEY\)"):
        ask(Script(lambda body: "wrong key sk-very-secret"))


def test_a_proxy_does_not_swallow_requests_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert ask(Script(lambda body: TOKENS)) == [7, 8]
    with serving(Script(lambda body: 500)) as url:
        assert served_models(url) == ["m"]


@pytest.mark.parametrize("code", [401, 403, 404])
def test_a_refusal_that_holds_for_all_is_fatal(code: int) -> None:
    with pytest.raises(NotGenerated, match=f"error {code}") as caught:
        ask(Script(lambda body: code))
    assert caught.value.fatal


def test_a_server_that_keeps_failing_is_not_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_RETRIES", 0)
    with pytest.raises(NotGenerated, match="error 500") as caught:
        ask(Script(lambda body: 500))
    assert not caught.value.fatal


def test_a_server_without_token_ids_is_told_apart() -> None:
    with pytest.raises(NotGenerated, match=r"returns no token ids .* leave --tokenizer out"):
        ask(Script(lambda body: {"text": "a"}))


def test_an_aborted_request_is_no_answer() -> None:
    with pytest.raises(NotGenerated, match="gave up"):
        ask(Script(lambda body: {**TOKENS, "finish_reason": "abort"}))  # type: ignore[dict-item]


def test_models_are_listed() -> None:
    with serving(Script(lambda body: 500), models=("a", "b")) as url:
        assert served_models(url) == ["a", "b"]


def test_a_server_that_is_not_there_is_an_error_with_a_remedy() -> None:
    with pytest.raises(StageError, match=r"is it running, does the address end in /v1"):
        served_models("http://127.0.0.1:9/v1")
