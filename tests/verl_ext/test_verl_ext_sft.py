"""Supervised rows become the tokens of the rollouts that write them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("verl")

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import QUESTION, Engine, Printer, Reply, play, tokenizer_of

from recipe.retool.data.sft import SftFormat, write_sft
from recipe.retool.env.dialogue import Dialogues
from recipe.retool.env.guard import Guard
from recipe.retool.env.registry import env_class
from recipe.retool.errors import DataError
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA, TOOL_NAME

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "retool_sft_raw_4rows.jsonl"
STYLES = ("tiny", "plain", "qwen2_5", "qwen3")
TOKENIZERS = {style: tokenizer_of(style) for style in STYLES}
SCHEMAS = [CODE_INTERPRETER_SCHEMA]
ENV_OF = {SftFormat.HERMES: "hermes", SftFormat.TAGS: "retool"}
words = st.text("abc 1", max_size=8).map(str.strip)
printed = st.text("abc 1é<|>\n", min_size=1, max_size=12) | st.just("<|im_end|>\n<|im_start|>assistant\n")
exchanges = st.lists(st.tuples(words, st.lists(printed, min_size=1, max_size=3)), max_size=3)


def call(code: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": TOOL_NAME, "arguments": {"code": code}}}


def written(call: dict[str, Any]) -> str:
    return f"<tool_call>\n{json.dumps(call['function'], ensure_ascii=False)}\n</tool_call>"


def dialogues(style: str, env: str, **kwargs: Any) -> Dialogues:
    tokenizer = TOKENIZERS[style]
    return Dialogues(tokenizer, env_class(env)(guard=Guard.of(tokenizer)), kwargs)


def tool_messages(answers: Sequence[str]) -> list[dict[str, str]]:
    return [{"role": "tool", "content": answer} for answer in answers]


@settings(max_examples=30)
@given(st.sampled_from([("tiny", None), ("plain", None), ("qwen2_5", None), ("qwen3", False)]), exchanges)
def test_hermes_rows_are_the_tokens_of_their_rollout(
    style: tuple[str, bool | None], said: list[tuple[str, list[str]]]
) -> None:
    name, thinking = style
    messages, replies = list(QUESTION), []
    for text, answers in said:
        calls = [call(str(n)) for n in range(len(answers))]
        messages += [{"role": "assistant", "content": text, "tool_calls": calls}, *tool_messages(answers)]
        replies.append(Reply("\n".join([*([text] if text else []), *map(written, calls)])))
    messages.append({"role": "assistant", "content": "Done."})
    engine = Engine(TOKENIZERS[name], [*replies, Reply("Done.")])
    tool = Printer([answer for _, answers in said for answer in answers] or ["none"])
    output = play(engine, tool, length=9000, thinking=thinking)
    kwargs = {} if thinking is None else {"enable_thinking": thinking}
    found = dialogues(name, "hermes", **kwargs).tokens(messages, SCHEMAS)
    assert found.prompt_ids == output.prompt_ids
    # The template writes a newline after the last turn, which nobody generates.
    newline = TOKENIZERS[name].encode("\n")
    assert found.response_ids == [*output.response_ids, *newline]
    assert found.response_mask == [*output.response_mask, *[0] * len(newline)]


@settings(max_examples=30)
@given(exchanges)
def test_tags_rows_are_the_tokens_of_their_rollout(said: list[tuple[str, list[str]]]) -> None:
    tokenizer = TOKENIZERS["tiny"]
    texts = [f"{text}<code>\n{number}\n</code>" for number, (text, _) in enumerate(said)]
    messages = [
        *QUESTION,
        *(m for text, (_, answers) in zip(texts, said, strict=True)
          for m in ({"role": "assistant", "content": text}, *tool_messages(answers[:1]))),
        {"role": "assistant", "content": "Done."},
    ]  # fmt: skip
    engine = Engine(tokenizer, [*(Reply(text, end=False) for text in texts), Reply("Done.")])
    output = play(engine, Printer([answers[0] for _, answers in said] or ["none"]), "retool", 9000)
    found = dialogues("tiny", "retool").tokens(messages, None)
    assert found.prompt_ids == output.prompt_ids
    assert (found.response_ids, found.response_mask) == (output.response_ids, output.response_mask)


@pytest.mark.parametrize("style", STYLES)
def test_several_answers_in_a_row_are_not_trained_on(style: str) -> None:
    calls = [call("1"), call("2")]
    messages = [
        *QUESTION,
        {"role": "assistant", "content": "", "tool_calls": calls},
        *tool_messages(["one", "two"]),
        {"role": "assistant", "content": "Done."},
    ]
    found = dialogues(style, "hermes", enable_thinking=False).tokens(messages, SCHEMAS)
    turns = [TOKENIZERS[style].decode(turn) for turn in found.turns()]
    assert turns == ["\n".join(map(written, calls)) + "<|im_end|>", "Done.<|im_end|>"]


def wrong(messages: list[dict[str, Any]], env: str = "hermes", template: str | None = None) -> str:
    tokenizer = tokenizer_of("tiny")
    tokenizer.chat_template = template or tokenizer.chat_template
    with pytest.raises(DataError) as problem:
        Dialogues(tokenizer, env_class(env)()).tokens(messages, None)
    return str(problem.value)


def test_a_dialogue_without_an_answer_is_refused() -> None:
    assert "turn of the assistant" in wrong(list(QUESTION))


def test_a_dialogue_without_a_prompt_is_refused() -> None:
    assert "needs a prompt" in wrong([{"role": "assistant", "content": "x"}])


def test_a_user_inside_the_model_s_own_turn_is_refused() -> None:
    answer = {"role": "assistant", "content": "x"}
    assert "role 'user'" in wrong([*QUESTION, answer, *QUESTION, answer], "retool")


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{%- for m in messages %}{{- m.content }}<|im_end|>{%- endfor %}", "no generation prompt"),
        (
            "{{- messages | length }}{%- for m in messages %}{{- m.content }}{%- endfor %}"
            "{%- if add_generation_prompt %}A:{%- endif %}",
            "renders the prompt differently",
        ),
        (
            "{%- for m in messages %}{{- (m.role)[0] + ':' + m.content + ';' }}{%- endfor %}"
            "{%- if add_generation_prompt %}{{- 'a:' }}{%- endif %}",
            "does not end a turn with '<|im_end|>'",
        ),
        (
            "{%- for m in messages %}{{- (m.role)[0] + ':' + m.content + '<|im_end|>' }}{%- endfor %}"
            "{%- if add_generation_prompt %}{{- 'bot:' }}{%- endif %}",
            "otherwise than its generation prompt",
        ),
    ],
)
def test_a_template_that_the_rules_do_not_fit_is_refused(template: str, told: str) -> None:
    found = wrong([*QUESTION, {"role": "assistant", "content": "x"}], template=template)
    assert told in found


def dataset(cls: Any, path: Path, env: str, **more: Any) -> Any:
    from omegaconf import OmegaConf

    config = {"pad_mode": "no_padding", "max_length": 65536, "env": {"name": env}, **more}
    return cls([str(path)], TOKENIZERS["plain"], OmegaConf.create(config))


def ours() -> Any:
    from recipe.retool.verl_ext.sft_dataset import CustomSFTDataset

    return CustomSFTDataset


def assistant_text(message: dict[str, Any]) -> str:
    lines = [message["content"]] if message["content"] else []
    return "\n".join([*lines, *map(written, message.get("tool_calls") or [])])


@pytest.mark.skipif(not REAL.is_file(), reason="no real rows")
@pytest.mark.parametrize("form", list(SftFormat))
def test_real_rows_train_on_exactly_what_the_assistant_wrote(form: SftFormat, tmp_path: Path) -> None:
    path = tmp_path / "sft.parquet"
    assert write_sft(str(REAL), path, form).rows_written == 4
    read, rows = dataset(ours(), path, ENV_OF[form]), pq.read_table(path).to_pylist()
    for number, row in enumerate(rows):
        item = read[number]
        trained = TOKENIZERS["plain"].decode(item["input_ids"][item["loss_mask"] == 1])
        texts = [assistant_text(m) for m in row["messages"] if m["role"] == "assistant"]
        end = "<|im_end|>"
        assert trained == (end.join(texts) if form is SftFormat.HERMES else "".join(texts)) + end


def hermes_rows(path: Path) -> Path:
    turns = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "Hm.", "tool_calls": [call("1")]},
        {"role": "tool", "content": "1", "tool_calls": None},
        {"role": "assistant", "content": "\\boxed{1}", "tool_calls": None},
    ]
    rows = [{"messages": turns, "tools": SCHEMAS}, {"messages": turns[:1] + turns[3:], "tools": SCHEMAS}]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def test_verl_s_own_data_set_has_the_same_tokens_and_trains_on_one_more_newline(tmp_path: Path) -> None:
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    path = hermes_rows(tmp_path / "rows.parquet")
    mine = dataset(ours(), path, "hermes")
    other = dataset(MultiTurnSFTDataset, path, "hermes")
    newline, end = TOKENIZERS["plain"].encode("\n")[0], TOKENIZERS["plain"].eos_token_id
    for number in range(2):
        one, two = mine[number], other[number]
        assert one["input_ids"].tolist() == two["input_ids"].tolist()
        assert one["position_ids"].tolist() == two["position_ids"].tolist()
        differ = [n for n in range(len(one["loss_mask"])) if one["loss_mask"][n] != two["loss_mask"][n]]
        ids = one["input_ids"].tolist()
        assert len(differ) == 2 - number  # one a turn
        assert all((ids[n - 1], ids[n], int(two["loss_mask"][n])) == (end, newline, 1) for n in differ)


def test_an_overlong_row_is_named(tmp_path: Path) -> None:
    path = hermes_rows(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"row 0 of .*rows.parquet has \d+ tokens, data.max_length is 9"):
        dataset(ours(), path, "hermes", max_length=9)[0]


@pytest.mark.parametrize("side", ["left", "right"])
def test_an_overlong_row_is_cut(side: str, tmp_path: Path) -> None:
    path = hermes_rows(tmp_path / "rows.parquet")
    whole = dataset(ours(), path, "hermes")[0]
    cut = dataset(ours(), path, "hermes", max_length=9, truncation=side)[0]
    keep = slice(-9, None) if side == "left" else slice(9)
    for name in ("input_ids", "loss_mask"):
        assert cut[name].tolist() == whole[name].tolist()[keep]
    assert cut["position_ids"].tolist() == list(range(9))
