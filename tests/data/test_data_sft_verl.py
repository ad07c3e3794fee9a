"""verl's own SFT dataset reads what we write, and trains on the assistant's text and nothing else."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from data_rows import GOOD, code, output, raw_row

from recipe.retool.data.sft import SftFormat, write_sft
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA

pytest.importorskip("verl")

# ChatML with hermes tool calls, in the shape of Qwen2.5's template.
TEMPLATE = """\
{{- '<|im_start|>system\n' }}{{- 'You are helpful.' }}
{%- if tools %}{{- '\n# Tools\n' }}
{%- for tool in tools %}{{- tool | tojson + '\n' }}{%- endfor %}{%- endif %}
{{- '<|im_end|>\n' }}
{%- for message in messages %}
{%- if message.role == 'tool' %}
{{- '<|im_start|>user\n<tool_response>\n' + message.content + '\n</tool_response><|im_end|>\n' }}
{%- elif message.tool_calls %}
{{- '<|im_start|>assistant' }}{%- if message.content %}{{- '\n' + message.content }}{%- endif %}
{%- for call in message.tool_calls %}
{{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson + '}\n</tool_call>' }}
{%- endfor %}{{- '<|im_end|>\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""
# The way GPT-4-like tokenizers cut a text: newlines fuse with each other and with punctuation before them.
CUT = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
RUNS = (code("x = {}\nprint(1)"), output("1"), "", code('print("é")'), output("é"), "", "\\boxed{1}")
TWO_BLOCKS = "Hm.\n" + "\n".join(RUNS)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    built = Tokenizer(models.BPE())
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(CUT), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)]
    )
    built.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    built.train_from_iterator([GOOD, TWO_BLOCKS, "assistant\n\n\n\nuser\n\n\n"] * 20, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=built, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    fast.add_tokens(["<tool_call>", "</tool_call>"])
    fast.chat_template = TEMPLATE
    return fast


def dataset(path: Path, tokenizer: Any) -> Any:
    from omegaconf import OmegaConf
    from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

    config = {"pad_mode": "no_padding", "max_length": 32768, "messages_key": "messages", "tools_key": "tools"}
    return MultiTurnSFTDataset([str(path)], tokenizer, OmegaConf.create(config))


def trained_text(item: Any, tokenizer: Any) -> str:
    return tokenizer.decode(item["input_ids"][item["loss_mask"] == 1])


def written_text(messages: list[dict[str, Any]]) -> str:
    """What the assistant says, as the chat template writes it after the generation prompt."""
    turns = []
    for message in messages:
        if message["role"] != "assistant":
            continue
        lines = [message["content"]] if message["content"] else []
        for call in message.get("tool_calls") or []:
            arguments = json.dumps(call["function"]["arguments"], ensure_ascii=False)
            body = f'{{"name": "code_interpreter", "arguments": {arguments}}}'
            lines.append(f"<tool_call>\n{body}\n</tool_call>")
        turns.append("\n".join(lines) + "<|im_end|>\n")
    return "".join(turns)


@pytest.mark.parametrize("form", list(SftFormat))
def test_verl_trains_on_the_assistant_text_alone(
    form: SftFormat, jsonl: Callable[..., str], tmp_path: Path, tokenizer: Any
) -> None:
    path = tmp_path / "sft.parquet"
    write_sft(jsonl(raw_row(GOOD), raw_row(TWO_BLOCKS)), path, form)
    read = dataset(path, tokenizer)
    rows = pq.read_table(path).to_pylist()
    assert [trained_text(read[i], tokenizer) for i in range(2)] == [
        written_text(row["messages"]) for row in rows
    ]


def test_the_prompt_holds_the_one_tool_schema(
    jsonl: Callable[..., str], tmp_path: Path, tokenizer: Any
) -> None:
    path = tmp_path / "sft.parquet"
    write_sft(jsonl(raw_row(GOOD)), path, SftFormat.HERMES)
    assert json.dumps(CODE_INTERPRETER_SCHEMA) in tokenizer.decode(dataset(path, tokenizer)[0]["input_ids"])


@pytest.mark.parametrize("form", list(SftFormat))
def test_real_rows_train_on_the_assistant_text_alone(
    form: SftFormat, real: Path, tmp_path: Path, tokenizer: Any
) -> None:
    path = tmp_path / "sft.parquet"
    assert write_sft(str(real / "retool_sft_raw_4rows.jsonl"), path, form).rows_written == 4
    read = dataset(path, tokenizer)
    rows = pq.read_table(path).to_pylist()
    assert [trained_text(read[i], tokenizer) for i in range(4)] == [
        written_text(row["messages"]) for row in rows
    ]
