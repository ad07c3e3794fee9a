"""Whole trajectories: exact tokens, whatever the model writes and the tools print."""

import json
from typing import Any

import pytest

pytest.importorskip("verl")

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted import QUESTION, Engine, Printer, Reply, check, play, tokenizer_of

from recipe.retool.env.stability import Turn, compare
from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA, TOOL_NAME

TOKENIZERS = {style: tokenizer_of(style) for style in ("tiny", "plain", "qwen2_5", "qwen3")}
EXAMPLES = settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
FORGED = (
    "<|im_end|>",
    "<|im_start|>assistant\n",
    "</tool_response>",
    "<tool_call>",
    "</interpreter>",
    "<think>",
)
pieces = st.sampled_from([*FORGED, "\n", " ", "é", "\U0001f600", "\\", "<", "x" * 500]) | st.text(
    st.characters(exclude_categories=["Cs"]), max_size=8
)
printed = st.lists(pieces, max_size=6).map("".join)
words = st.text("ab .,é\n", max_size=8).map(str.strip)
CODE = "<code>\nprint(1)\n</code>"


def call(code: str) -> str:
    body = json.dumps({"name": TOOL_NAME, "arguments": {"code": code}})
    return f"<tool_call>\n{body}\n</tool_call>"


turns = st.lists(st.tuples(words, st.integers(1, 3)), max_size=3)


@EXAMPLES
@given(
    st.sampled_from(sorted(TOKENIZERS)),
    turns,
    st.lists(printed, min_size=1, max_size=4),
    words,
    st.booleans(),
)
def test_hermes_trajectories_train_on_the_model_s_tokens_alone(
    style: str, said: list[tuple[str, int]], answers: list[str], last: str, ends: bool
) -> None:
    tokenizer = TOKENIZERS[style]
    replies = [Reply(text + "\n".join([call("print(1)")] * count), ends) for text, count in said]
    engine = Engine(tokenizer, [*replies, Reply(last)])
    output = play(engine, Printer(answers), length=9000)
    check(output, engine)
    assert len(engine.prompts) == len(said) + 1
    # The only turns are those that the template opened: nothing printed has begun or ended one.
    begins = output.response_ids.count(tokenizer.convert_tokens_to_ids("<|im_start|>"))
    ended = output.response_ids.count(tokenizer.eos_token_id)
    assert (begins, ended) == (2 * len(said), 2 * len(said) + 1)


@EXAMPLES
@given(turns, st.lists(printed, min_size=1, max_size=4), words, st.booleans())
def test_tags_trajectories_train_on_the_model_s_tokens_alone(
    said: list[tuple[str, int]], answers: list[str], last: str, overrun: bool
) -> None:
    tokenizer = TOKENIZERS["tiny"]
    replies = [Reply(text + CODE + "\n<interpreter>made up" * overrun, overrun) for text, _ in said]
    engine = Engine(tokenizer, [*replies, Reply(last)])
    output = play(engine, Printer(answers), "retool", 9000)
    check(output, engine, "retool")
    assert output.extra_fields["tool_calls"] == len(said)
    assert output.response_ids.count(tokenizer.eos_token_id) == 1
    assert output.response_ids.count(tokenizer.convert_tokens_to_ids("</interpreter>")) == len(said)
    assert "made up" not in tokenizer.decode(output.response_ids)


@EXAMPLES
@given(
    st.sampled_from(["hermes", "retool", "text"]),
    st.lists(st.lists(pieces | st.just(CODE), max_size=5), min_size=8, max_size=8),
)
def test_whatever_the_model_writes_the_parts_have_one_length(env: str, said: list[list[str]]) -> None:
    engine = Engine(TOKENIZERS["tiny"], [Reply("".join(parts)) for parts in said])
    output = play(engine, Printer(["1"]), env, 4000, {"multi_turn": {"max_assistant_turns": 8}})
    check(output, engine, env)


@EXAMPLES
@given(st.integers(1, 400), st.lists(printed, min_size=1, max_size=2), st.sampled_from(["hermes", "retool"]))
def test_no_response_is_longer_than_its_limit(limit: int, answers: list[str], env: str) -> None:
    first = call("print(1)") if env == "hermes" else CODE
    engine = Engine(TOKENIZERS["tiny"], [Reply(first)] * 3 + [Reply("\\boxed{1}")])
    output = play(engine, Printer(answers), env, limit)
    check(output, engine, env)
    assert 0 < len(output.response_ids) <= limit
    assert [s["max_tokens"] for s in engine.sampling] == [
        limit - len(prompt) + len(output.prompt_ids) for prompt in engine.prompts
    ]
    whole = len(engine.prompts) == 4 and engine.turns[-1][-1] == engine.tokenizer.eos_token_id
    assert output.extra_fields["over_tokens"] == output.extra_fields["truncated"] == (not whole)


def dialogue(said: list[tuple[str, int]], answers: list[str], thought: str) -> list[Turn]:
    """Turns of a model and its tools, as the model writes them and as a data set holds them."""
    made = []
    for text, count in said:
        mind = f"<think>\n{thought}\n</think>\n\n" if thought else ""
        calls = [
            {"type": "function", "function": {"name": TOOL_NAME, "arguments": {"code": f"{n}"}}}
            for n in range(count)
        ]
        text = text and text + "\n"
        written = mind + text + "\n".join(call(f"{n}") for n in range(count))
        message = {"role": "assistant", "content": (mind + text).removesuffix("\n"), "tool_calls": calls}
        replies = [{"role": "tool", "content": answers[n % len(answers)]} for n in range(count)]
        made.append(Turn(message if count else {**message, "tool_calls": []}, written, tuple(replies)))
    return made


def whole_of(tokenizer: Any, messages: list[dict[str, Any]], **kwargs: Any) -> list[int]:
    found = tokenizer.apply_chat_template(
        messages, tools=[CODE_INTERPRETER_SCHEMA], tokenize=True, add_generation_prompt=False, **kwargs
    )
    return list(found["input_ids"])


plain_words = st.text("abc 1", min_size=1, max_size=8).map(str.strip)
safe = st.text("abc 123é.\n<", min_size=1, max_size=30)


@EXAMPLES
@given(
    st.sampled_from(["tiny", "plain", "qwen2_5", "qwen3"]),
    st.lists(st.tuples(plain_words, st.integers(1, 3)), max_size=3),
    st.lists(safe, min_size=1, max_size=3),
    st.sampled_from([[], [{"role": "system", "content": "Be brief."}]]),
)
def test_the_rollout_reads_as_the_template_writes_the_whole_dialogue(
    style: str, said: list[tuple[str, int]], answers: list[str], system: list[dict[str, str]]
) -> None:
    tokenizer = TOKENIZERS[style]
    thought = "hm" if style == "qwen3" else ""  # without any, see the drift below
    mind = "<think>\nhm\n</think>\n\n" if thought else ""
    made = dialogue(said, answers, thought)
    engine = Engine(tokenizer, [*(Reply(turn.text) for turn in made), Reply(mind + "Done.")])
    prompt = [*system, *QUESTION]
    in_order = [answer["content"] for turn in made for answer in turn.answers] or ["none"]
    output = play(engine, Printer(in_order), prompt=prompt, length=9000)
    messages = [*prompt, *(m for turn in made for m in (turn.message, *turn.answers))]
    whole = whole_of(tokenizer, [*messages, {"role": "assistant", "content": mind + "Done."}])
    newline = tokenizer.encode("\n")
    assert compare([*output.prompt_ids, *output.response_ids, *newline], whole, tokenizer.decode) is None


def test_real_programs_on_a_real_sandbox(tmp_path: Any) -> None:
    from verl.tools.tool_registry import initialize_tools_from_config

    programs = [
        "print(chr(60) + '|im_end|>' + chr(60) + '|im_start|>user')",
        "print('é' * 3)",
        "1/0",
        "pass",
        "print('x' * 10**6)",
    ]
    with EmbeddedSandbox(workers=1) as sandbox:
        path = tmp_path / "tool.yaml"
        path.write_text(
            "tools:\n- class_name: recipe.retool.verl_ext.tool.CodeInterpreterTool\n"
            f"  config: {{type: native, sandbox_url: '{sandbox.url}', timeout: 10}}\n"
        )
        (tool,) = initialize_tools_from_config(str(path))
        for env, write in (("hermes", call), ("retool", lambda code: f"<code>\n{code}\n</code>")):
            tokenizer = TOKENIZERS["tiny"]
            engine = Engine(tokenizer, [*(Reply(write(code)) for code in programs), Reply("\\boxed{1}")])
            output = play(engine, tool, env, 20_000)
            check(output, engine, env)
            text = tokenizer.decode(output.response_ids)
            assert "éé" in text
            assert "ZeroDivisionError" in text
            assert "characters left out" in text
            found = output.extra_fields
            assert (found["tool_calls"], found["tool_ok"], found["tool_errors"]) == (5, 4, 1)
            assert text.count("<|im_start|>") == (10 if env == "hermes" else 0)
