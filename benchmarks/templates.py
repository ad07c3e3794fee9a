"""Which chat templates only append? One line for each template and way of thinking, in Markdown.

    python benchmarks/templates.py [MODEL_FOLDER ...]

Folders of models are added to the styles of tests/chat_styles.py. "Differing tokens" are those between the
common beginning and the common end of the dialogue that grew as in a rollout and of the same dialogue as the
chat template renders it whole (recipe/retool/env/stability.py). Needs transformers, no accelerator.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from chat_styles import STYLES

from recipe.retool.env.stability import DIALOGUES, dialogue_drift
from recipe.retool.tiny.model import build_tokenizer
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA
from recipe.retool.verl_ext.context_tokens import SuffixBuilder

WAYS: tuple[dict[str, Any], ...] = ({}, {"enable_thinking": False})


def tokenizers(folders: list[str]) -> Iterator[tuple[str, Any]]:
    """The shipped tokenizer, the same with each style, and those of the folders."""
    yield "tiny", build_tokenizer()
    for style, template in STYLES.items():
        tokenizer = build_tokenizer()
        tokenizer.add_tokens(["<think>", "</think>"])
        tokenizer.chat_template = template
        yield style, tokenizer
    for folder in folders:
        from transformers import AutoTokenizer

        yield folder, AutoTokenizer.from_pretrained(folder)


def main() -> None:
    columns = ("template", "enable_thinking", "dialogue", "prefix-stable", "differing tokens", "of", "first")
    print("|", " | ".join(columns), "|")
    print("|---" * len(columns) + "|")
    for name, tokenizer in tokenizers(sys.argv[1:]):
        for way in WAYS:
            if way and "enable_thinking" not in str(tokenizer.chat_template):
                continue
            builder = SuffixBuilder(tokenizer, way)
            for about, (prompt, turns) in DIALOGUES.items():
                found = dialogue_drift(tokenizer, builder, prompt, turns, [CODE_INTERPRETER_SCHEMA], way)
                thinks = str(way.get("enable_thinking", "default"))
                row = ("no", found.tokens, found.total, found.position) if found else ("yes", 0, "", "")
                print("|", " | ".join(map(str, (name, thinks, about, *row))), "|")


if __name__ == "__main__":
    main()
