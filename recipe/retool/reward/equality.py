"""Are two answers the same? Integers and equal spellings at once, the rest by math-verify.

math-verify's own time limits are signals, which fail off the main thread, and verl scores in threads;
without limits one answer can stop training. So it runs in a process that is killed at the limit
(reward/pool.py, reward/worker.py).
"""

from dataclasses import dataclass

from recipe.retool.reward.answer import MAX_ANSWER, canonical_integer
from recipe.retool.reward.pool import shared_pool

TIME_LIMIT = 5.0  # seconds for one comparison
WORKERS = 2  # processes (about 65 MB each) per scoring process


@dataclass(frozen=True)
class Verdict:
    """Outcome of one comparison.

    Attributes:
        equal: True when the answers are proved equal; every doubt is False.
        status: How it was decided: ``empty``, ``identical``, ``integer``, ``too_long``, ``symbolic``,
            or why it was not: ``timeout``, ``crashed``, ``unavailable``.
        gold_ok: False when the gold answer cannot be read.
    """

    equal: bool
    status: str
    gold_ok: bool = True


def compare(answer: str, gold: str, limit: float = TIME_LIMIT, workers: int = WORKERS) -> Verdict:
    """Compare two answers in the spelling of :func:`recipe.retool.reward.answer.clean`.

    Args:
        answer: The model's answer.
        gold: The gold answer. The comparison is not symmetric: math-verify takes a bare value for
            an equation's right side (``x=3`` against gold ``3``), but not an interval for a gold value.
        limit: Seconds for the symbolic part. Waiting for a free process and starting one come on top.
        workers: Number of processes shared by all threads of this process.
    """
    if not gold or len(gold) > MAX_ANSWER:
        return Verdict(False, "empty" if not gold else "too_long", gold_ok=False)
    if not answer:
        return Verdict(False, "empty")
    if len(answer) > MAX_ANSWER:
        return Verdict(False, "too_long")
    if answer == gold:
        return Verdict(True, "identical")
    number, gold_number = canonical_integer(answer), canonical_integer(gold)
    if number is not None and gold_number is not None:
        return Verdict(number == gold_number, "integer")
    reply = shared_pool(workers).compare(gold, answer, limit)
    status = "symbolic" if reply.status == "ok" else reply.status
    return Verdict(reply.equal, status, gold_ok=reply.gold_ok)
