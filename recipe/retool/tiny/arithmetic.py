"""The arithmetic task: problems on which a tiny model must learn WHEN to call the code interpreter.

Easy problems (one-digit sums) can be answered in the head; hard ones (products of two-digit numbers)
cannot, at this model size. The SFT mixture shows both habits on both kinds, so the cold-started model
does not know when to use the tool: that is what GRPO then learns. ReTool's subject (arXiv 2504.11536)
in miniature.
"""

import random
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recipe.retool.data.prompts import with_instruction
from recipe.retool.data.rl import AGENT_NAME
from recipe.retool.env.settings import DEFAULT_ENV
from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA, TOOL_NAME

DATA_SOURCE = "retool/arithmetic"
# Shares of the hard problems: a problem belongs to one split for ever, whatever the seed.
SPLITS = {"train": range(0, 85), "test": range(85, 100)}


@dataclass(frozen=True)
class Problem:
    """``a + b`` or ``a * b`` with its exact answer."""

    a: int
    op: str
    b: int

    @property
    def hard(self) -> bool:
        """True for a product of two-digit numbers."""
        return self.op == "*"

    @property
    def expression(self) -> str:
        return f"{self.a}{self.op}{self.b}"

    @property
    def answer(self) -> int:
        return self.a * self.b if self.op == "*" else self.a + self.b

    @property
    def prompt(self) -> list[dict[str, str]]:
        """The chat messages of the question."""
        return [{"role": "user", "content": with_instruction(f"What is {self.expression}?")}]


def split_of(problem: Problem) -> str:
    """The split of a hard problem, by a hash of its text; easy ones are shared by all splits."""
    bucket = zlib.crc32(problem.expression.encode()) % 100
    return next(name for name, buckets in SPLITS.items() if bucket in buckets)


def sample_problems(split: str, seed: int, easy_share: float) -> Iterator[Problem]:
    """Endless stream of problems of one split ("train" or "test").

    Args:
        split: Key of ``SPLITS``.
        seed: Seed of the stream.
        easy_share: Probability of an easy problem, 0 to 1.
    """
    rng = random.Random(f"{split}-{seed}")
    while True:
        if rng.random() < easy_share:
            yield Problem(rng.randint(1, 9), "+", rng.randint(1, 9))
            continue
        problem = Problem(rng.randint(10, 99), "*", rng.randint(10, 99))
        if split_of(problem) == split:
            yield problem


def distinct_problems(split: str, seed: int, count: int, easy_share: float) -> list[Problem]:
    """``count`` different problems, ``round(count * easy_share)`` of them easy (or all 81 easy ones)."""
    easy = [Problem(a, "+", b) for a in range(1, 10) for b in range(1, 10)]
    rng = random.Random(f"{split}-{seed}-easy")
    chosen = dict.fromkeys(rng.sample(easy, min(len(easy), round(count * easy_share))))
    for problem in sample_problems(split, seed, easy_share=0.0):
        if len(chosen) >= count:
            break
        chosen[problem] = None
    problems = list(chosen)
    rng.shuffle(problems)
    return problems[:count]


def difficulty_in(prompt: str) -> str:
    """The difficulty of the problem that a rendered prompt asks."""
    return "hard" if re.search(r"\d\*\d", prompt) else "easy"


def head_answer(problem: Problem) -> int:
    """An answer made in the head: right on easy problems; on hard ones the larger operand, always wrong.

    A lazy guess with no randomness in it: what noise there is in the SFT loss slows the learning of the
    one skill that counts, copying the tool's result.
    """
    return max(problem.a, problem.b) if problem.hard else problem.answer


def worked_solution(problem: Problem) -> str:
    """The written calculation that stands in for the tool where there is none."""
    a, b = problem.a, problem.b
    if not problem.hard:
        return f"{problem.expression}={problem.answer}"
    tens, units = b // 10 * 10, b % 10
    return f"{a}*{tens}={a * tens},{a}*{units}={a * units},{a * tens}+{a * units}={problem.answer}"


def sft_messages(problem: Problem, laborious: bool, env: str = DEFAULT_ENV) -> list[dict[str, Any]]:
    """One SFT dialogue.

    Args:
        problem: The problem.
        laborious: True for a tool call whose result is copied (a written calculation where ``env`` has no
            tool), False for an answer made in the head.
        env: Name of the environment: "hermes", "retool" or "text".
    """
    from recipe.retool.tools.result import recorded_result_text

    if not laborious:
        return [*problem.prompt, {"role": "assistant", "content": _boxed(head_answer(problem))}]
    if env == "text":
        written = f"{worked_solution(problem)} {_boxed(problem.answer)}"
        return [*problem.prompt, {"role": "assistant", "content": written}]
    return [
        *problem.prompt,
        _call(problem, env),
        {"role": "tool", "content": recorded_result_text(f"{problem.answer}\n")},
        {"role": "assistant", "content": _boxed(problem.answer)},
    ]


def sft_row(problem: Problem, laborious: bool, env: str = DEFAULT_ENV) -> dict[str, Any]:
    """One row of the SFT parquet: ``messages`` and, where the environment shows them, ``tools``."""
    row: dict[str, Any] = {"messages": sft_messages(problem, laborious, env)}
    return {**row, "tools": [CODE_INTERPRETER_SCHEMA]} if env == DEFAULT_ENV else row


def rl_row(problem: Problem, split: str, index: int) -> dict[str, Any]:
    """One row of the RL or evaluation parquet, as verl's RLHFDataset reads."""
    return {
        "data_source": DATA_SOURCE,
        "prompt": problem.prompt,
        "ability": "MATH",
        "reward_model": {"style": "rule", "ground_truth": str(problem.answer)},
        "extra_info": {
            "index": str(index),
            "split": split,
            "question": problem.expression,
        },
        "agent_name": AGENT_NAME,
    }


def _call(problem: Problem, env: str) -> dict[str, Any]:
    code = f"print({problem.expression})"
    if env == "retool":
        return {"role": "assistant", "content": f"<code>\n```python\n{code}\n```\n</code>"}
    call = {"type": "function", "function": {"name": TOOL_NAME, "arguments": {"code": code}}}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def _boxed(value: int) -> str:
    return f"\\boxed{{{value}}}"
