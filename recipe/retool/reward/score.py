"""``compute_score``: one trajectory -> its score and what verl logs next to it.

The answer is found and compared here; what it earns is a weighted sum of functions (reward/mix.py).
"""

from collections.abc import Mapping
from typing import Any

from recipe.retool.reward import equality
from recipe.retool.reward.answer import canonical_integer, clean, extract
from recipe.retool.reward.facts import Facts, counters_of, tool_turns
from recipe.retool.reward.mix import Score
from recipe.retool.reward.model_text import model_text
from recipe.retool.reward.settings import RewardSettings
from recipe.retool.reward.values import as_number

MAX_PRED = 256  # characters kept of the answer, for logs and majority votes


def compute_score(
    data_source: Any,
    solution_str: Any,
    ground_truth: Any,
    extra_info: Any = None,
    **kwargs: Any,
) -> dict[str, float | str]:
    """Score one trajectory; verl's ``reward.custom_reward_function``, safe in many threads.

    Args:
        data_source: Name of the data set; all are scored alike.
        solution_str: The decoded whole response, tool text included.
        ground_truth: The gold answer; text or a number.
        extra_info: Per-sample dict: ``model_text`` and counters (``recipe.retool.env.counters``).
        kwargs: Settings (see :class:`RewardSettings`) and arguments of verl that are not used.

    Returns:
        The same keys with the same types for every sample of a configuration (docs/reward.rst lists them).

    Raises:
        ConfigError: A setting is out of range. No input of a sample raises.
    """
    settings = RewardSettings.from_kwargs(kwargs)
    info: Mapping[str, Any] = extra_info if isinstance(extra_info, Mapping) else {}
    said = model_text(solution_str if isinstance(solution_str, str) else "", info)
    answer = extract(said.text)
    gold = gold_text(ground_truth)
    verdict = equality.compare(answer.text, gold, settings.answer_timeout, settings.answer_workers)
    facts = Facts(
        correct=verdict.equal,
        boxed=answer.boxed,
        tool_turns=tool_turns(info),
        max_response_length=settings.max_response_length,
        counters=counters_of(info),
        text_refused=said.refused,
        text=said.text,
        answer=answer.text,
        gold=gold,
        data_source=data_source if isinstance(data_source, str) else "",
    )
    return _logged(settings.parts.score(facts), facts, verdict)


def _logged(scored: Score, facts: Facts, verdict: equality.Verdict) -> dict[str, float | str]:
    return {
        "score": scored.total,
        "acc": float(verdict.equal),
        "pred": _printable(canonical_integer(facts.answer) or facts.answer),
        "format_ok": float(facts.boxed),
        "answer_timeout": float(verdict.status == "timeout"),
        "answer_error": float(verdict.status in ("crashed", "unavailable")),
        "gold_unusable": float(not verdict.gold_ok),
        "text_refused": float(facts.text_refused),
        "infra_failure": float(facts.infra_failure),
        "part_failed": float(scored.failed),
        **{f"reward_{name}": value for name, value in scored.values.items()},
        **facts.counters,
    }


def gold_text(ground_truth: Any) -> str:
    """Return the gold answer as clean text; empty when there is none.

    A gold text that holds a box is a whole solution: its box counts. Whole floats become integers.
    """
    if isinstance(ground_truth, str):
        boxed = extract(ground_truth)
        return boxed.text if boxed.boxed else clean(ground_truth)
    number = as_number(ground_truth)
    if number is None or isinstance(ground_truth, bool):
        return ""
    try:
        return clean(str(int(ground_truth)) if number.is_integer() else repr(number))
    except Exception:  # an odd type, or more digits than Python prints
        return ""


def _printable(text: str) -> str:
    """Bound the length and drop what breaks log files (control characters, lone surrogates)."""
    return "".join(char if char.isprintable() else " " for char in text[:MAX_PRED])
