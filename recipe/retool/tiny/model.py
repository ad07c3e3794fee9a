"""A tiny Qwen2 with its tokenizer: small enough to learn on a laptop, real enough for verl and vLLM.

The tokenizer is a byte-level BPE with one token a digit, so any text of any data set can be encoded.
Its chat template is ChatML with hermes tool calls, like Qwen2.5's, but announces a tool by its name
alone: with the whole JSON schema in each prompt the model needs several times as many SFT steps.
"""

import json
from pathlib import Path
from typing import Any

from recipe.retool.data.prompts import with_instruction
from recipe.retool.errors import StageError
from recipe.retool.tiny import arithmetic

VOCAB_SIZE = 400
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# Single tokens, but not "special": verl's hermes parser reads them in the decoded text.
TAG_TOKENS = tuple(
    f"<{slash}{tag}>" for tag in ("tool_call", "tool_response", "code", "interpreter") for slash in ("", "/")
)

CHAT_TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n' }}{%- endif %}
{{- 'Tools:' }}
{%- for tool in tools %}{{- ' ' + tool.function.name }}{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}
{{- '<|im_start|>user\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' + (message.content or '') }}
{%- for call in message.tool_calls or [] %}
{%- if (loop.first and message.content) or not loop.first %}{{- '\\n' }}{%- endif %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments if call.function.arguments is string else call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|im_start|>user' }}{%- endif %}
{{- '\\n<tool_response>\\n' + message.content + '\\n</tool_response>' }}
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|im_end|>\\n' }}{%- endif %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
"""


def build_tokenizer() -> Any:
    """Train the tokenizer on the task's own wording (deterministic, under a second).

    It keeps Qwen2's way of cutting text into words (AutoTokenizer rebuilds it from the model type in
    any case), so template and token boundaries behave as with the real models.

    Returns:
        A ``transformers.Qwen2Tokenizer`` with ``CHAT_TEMPLATE``.
    """
    from tokenizers import pre_tokenizers, trainers
    from transformers import Qwen2Tokenizer

    tokenizer = Qwen2Tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(TAG_TOKENS),
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend = tokenizer.backend_tokenizer
    backend.train_from_iterator(_corpus(), trainer)
    model = json.loads(backend.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    trained = Qwen2Tokenizer(
        vocab=model["vocab"], merges=merges, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    trained.add_special_tokens({"additional_special_tokens": ["<|im_start|>"]})
    trained.add_tokens(list(TAG_TOKENS))
    trained.chat_template = CHAT_TEMPLATE
    return trained


def _corpus() -> list[str]:
    """The task's texts as the chat template writes them between special tokens."""
    problems = arithmetic.sample_problems("train", 0, easy_share=0.3)
    texts = ["system\nTools: code_interpreter", "user\n", "assistant\n"] * 50
    for problem in (next(problems) for _ in range(300)):
        texts += ["user\n" + with_instruction(f"What is {problem.expression}?"), "\n", "user\n"]
        texts += [
            '\n{"name": "code_interpreter", "arguments": {"code": "print(' + problem.expression + ')"}}\n'
        ]
        texts += [f"\n```python\nprint({problem.expression})\n```\n"]
        texts += [f"\n{problem.answer}\n", f"assistant\n\\boxed{{{problem.answer}}}"]
        texts += ["\n", "assistant\n", f"\\boxed{{{arithmetic.head_answer(problem)}}}"]
    return texts


def build_model(seed: int, vocab_size: int, eos_token_id: int, pad_token_id: int) -> Any:
    """A random ``transformers.Qwen2ForCausalLM`` of about 0.5 M parameters in float32."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        tie_word_embeddings=False,
        eos_token_id=eos_token_id,
        bos_token_id=None,
        pad_token_id=pad_token_id,
    )
    return Qwen2ForCausalLM(config)


def save_tiny_model(folder: Path, seed: int) -> None:
    """Write model and tokenizer to ``folder`` in Hugging Face format.

    Raises:
        StageError: The folder cannot be written.
    """
    from safetensors import SafetensorError
    from transformers.utils import logging as hf_logging

    hf_logging.disable_progress_bar()
    tokenizer = build_tokenizer()
    model = build_model(seed, len(tokenizer), tokenizer.eos_token_id, tokenizer.pad_token_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
    except (OSError, SafetensorError) as error:  # the latter for a full disk
        raise StageError(f"cannot write the tiny model to {folder}: {error}") from error
