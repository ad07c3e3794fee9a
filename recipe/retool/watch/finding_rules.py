"""The rules behind :func:`recipe.retool.watch.findings.findings`: one small function for each question."""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from recipe.retool.watch import finding_limits as limit
from recipe.retool.watch.series import (
    Metrics,
    Point,
    best_levels,
    earlier_levels,
    first_level,
    series,
    stretches,
)

_GRADIENTS = {  # how many steps in a row are a spike: single ones come and go in a healthy SFT
    "actor/grad_norm": (1, "Look at void turns and truncation of that step, and lower the learning rate"),
    "critic/grad_norm": (1, "Look at the rewards of that step, and lower critic.optim.lr"),
    "train/grad_norm": (limit.IN_A_ROW, "Lower optim.lr, or warm it up for longer"),
}
_FINITE = (
    *("critic/score/mean", "critic/rewards/mean", "actor/loss", "actor/pg_loss", "actor/kl_loss"),
    *("critic/vf_loss", "train/loss", "val/loss", "actor/entropy", *_GRADIENTS),
)
# Where verl does not log the first: the trainer computes no log-probabilities of its own (bypass_mode). The
# second is the same mean over the policy that is being updated, with actor.calculate_entropy=true.
_ENTROPY = ("actor/entropy", "actor/entropy_loss")
_MISMATCH = ("training/rollout_probs_diff_mean", "rollout_corr/k3_kl")
_MISMATCH_TURNS = "retool/mismatch/k3_mean/"  # and the number of the turn
_VALIDATED = re.compile(r"val-aux/(.+)/void_turns/mean@(\d+)")  # data source, answers a problem


@dataclass(frozen=True)
class Found:
    """A stretch of steps, and what is to be said about it."""

    kind: str
    first: int
    last: int
    text: str


@dataclass(frozen=True)
class Rule:
    """The kinds that a rule may find, and the rule."""

    kinds: tuple[str, ...]
    find: Callable[[Metrics], Iterator[Found]]


def _found(
    kind: str, points: Sequence[Point], flags: Sequence[bool], in_a_row: int, text: Callable[[int], str]
) -> Iterator[Found]:
    """Stretches of flagged points; ``text`` takes the index of the first point."""
    index = {step: number for number, (step, _) in enumerate(points)}
    steps = [step for step, _ in points]
    for first, last in stretches(zip(steps, flags, strict=True), in_a_row):
        yield Found(kind, first, last, text(index[first]))


def _ceiling(kind: str, key: str, most: float, in_a_row: int, text: str) -> Rule:
    """A rate that should stay below a fixed number; ``text`` has one place for the rate."""

    def find(metrics: Metrics) -> Iterator[Found]:
        points = series(metrics, key)
        flags = [value > most for _, value in points]
        return _found(kind, points, flags, in_a_row, lambda at: text.format(points[at][1]))

    return Rule((kind,), find)


def _lost(kind: str, key: str, there: float, left: float, text: str) -> Rule:
    """A rate that was there and is gone; ``text`` has places for the rate and the best one before."""

    def find(metrics: Metrics) -> Iterator[Found]:
        points = series(metrics, key)
        best = best_levels(points)
        flags = [
            level >= there and value <= left * level for (_, value), level in zip(points, best, strict=True)
        ]
        return _found(kind, points, flags, limit.IN_A_ROW, lambda at: text.format(points[at][1], best[at]))

    return Rule((kind,), find)


def _not_finite(metrics: Metrics) -> Iterator[Found]:
    """verl's file logger (orjson) writes NaN and infinity as null; other writers as NaN and Infinity."""
    for key in _FINITE:
        there = [step for step in sorted(metrics) if key in metrics[step]]
        points = [(step, 0.0) for step in there]
        flags = [_is_not_finite(metrics[step][key]) for step in there]

        def text(_: int, key: str = key) -> str:
            return f"{key} is not finite. verl skips updates with such a gradient; look at the steps before"

        yield from _found("not_finite", points, flags, 1, text)


def _is_not_finite(value: object) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _gradient_spike(metrics: Metrics) -> Iterator[Found]:
    for key, (in_a_row, advice) in _GRADIENTS.items():
        points = series(metrics, key)
        levels = earlier_levels(points)

        words = [
            f"{key} {value:.3g}, median before it {level or 0:.3g}. {advice}"
            for (_, value), level in zip(points, levels, strict=True)
        ]
        flags = [
            level is not None and value > max(limit.GRADIENT_FLOOR, limit.GRADIENT_TIMES * level)
            for (_, value), level in zip(points, levels, strict=True)
        ]
        yield from _found("gradient_spike", points, flags, in_a_row, words.__getitem__)


def _entropy(metrics: Metrics) -> Iterator[Found]:
    points = series(metrics, _ENTROPY[0]) or series(metrics, _ENTROPY[1])
    start, later = first_level(points), points[limit.FIRST_STEPS :]
    low = [value <= limit.ENTROPY_LEFT * start for _, value in later] if start > 0 else [False] * len(later)
    high = [value >= max(limit.ENTROPY_FLOOR, limit.ENTROPY_TIMES * start) for _, value in later]
    yield from _found(
        "entropy_collapse", later, low, limit.IN_A_ROW,
        lambda at: f"entropy {later[at][1]:.3g}, {start:.3g} at the start: answers grow alike. Raise "
        "clip_ratio_high or the temperature, unless accuracy is near 1",
    )  # fmt: skip
    yield from _found(
        "entropy_explosion", later, high, limit.IN_A_ROW,
        lambda at: f"entropy {later[at][1]:.3g}, {start:.3g} at the start. Read a few rollouts: gibberish, "
        "failing tools? Lower the learning rate",
    )  # fmt: skip


def _mismatch(metrics: Metrics) -> Iterator[Found]:
    turns = sorted({key for data in metrics.values() for key in data if key.startswith(_MISMATCH_TURNS)})
    for key in (*_MISMATCH, *turns):
        points = series(metrics, key)
        start, later = first_level(points), points[limit.FIRST_STEPS :]
        most = max(limit.MISMATCH_FLOOR, limit.MISMATCH_TIMES * start)

        def text(at: int, key: str = key, later: list[Point] = later, start: float = start) -> str:
            return f"{key} {later[at][1]:.3g}, {start:.3g} at the start. See algorithm.rollout_correction"

        yield from _found("mismatch", later, [value > most for _, value in later], limit.IN_A_ROW, text)


def _validation_void_turns(metrics: Metrics) -> Iterator[Found]:
    """What the batch hides: a policy that samples well may have nothing to say on problems of one kind."""
    names = {
        match.groups() for data in metrics.values() for key in data if (match := _VALIDATED.fullmatch(key))
    }
    for source, answers in sorted(names):
        keys = [
            f"val-aux/{source}/{name}/mean@{answers}" for name in ("void_turns", "model_turns", "truncated")
        ]
        void, turns, cut = (dict(series(metrics, key)) for key in keys)
        there = [step for step in void if turns.get(step, 0.0) > 0]
        points = [(step, (void[step] - cut.get(step, 0.0)) / turns[step]) for step in there]

        def text(at: int, source: str = source, points: list[Point] = points) -> str:
            return (
                f"validation ({source.rsplit('/', 1)[-1]}): {points[at][1]:.1%} of turns hold neither call "
                "nor answer. Which problems get none? Read validation/"
            )

        flags = [share > limit.VALIDATION_VOID_TURNS for _, share in points]
        for one in _found("validation_void", points, flags, 1, text):
            present = one.last == points[-1][0]  # until the next validation says otherwise
            yield replace(one, last=max(metrics)) if present else one


def _accuracy_zero(metrics: Metrics) -> Iterator[Found]:
    points = series(metrics, "retool/accuracy")
    return _found(
        "accuracy_zero", points, [value == 0 for _, value in points], limit.ZERO_ACCURACY_STEPS,
        lambda _: f"no right answer in {limit.ZERO_ACCURACY_STEPS} steps or more. Compare `output` and `gts` "
        "in rollouts/: answer format, difficulty, the SFT model",
    )  # fmt: skip


def _no_variance(metrics: Metrics) -> Iterator[Found]:
    low, high = (dict(series(metrics, f"critic/score/{end}")) for end in ("min", "max"))
    points = [(step, value) for step, value in low.items() if step in high]
    return _found(
        "no_variance", points, [high[step] == value for step, value in points], limit.NO_VARIANCE_STEPS,
        lambda at: f"every trajectory scores {points[at][1]:g}: nothing to learn from. Harder or easier "
        "problems, more answers a prompt, or the reward",
    )  # fmt: skip


def _slow_step(metrics: Metrics) -> Iterator[Found]:
    saving = dict(series(metrics, "timing_s/save_checkpoint"))
    points = [(step, value - saving.get(step, 0.0)) for step, value in series(metrics, "timing_s/step")]
    levels = earlier_levels(points)
    flags = [
        level is not None and value > max(limit.SLOW_TIMES * level, level + limit.SLOW_SECONDS)
        for (_, value), level in zip(points, levels, strict=True)
    ]
    return _found(
        "slow_step", points, flags, 1,
        lambda at: f"{points[at][1]:.0f} s, median before it {levels[at] or 0:.0f} s. Compare timing_s/* and "
        "the sandbox's p95; is the machine shared?",
    )  # fmt: skip


RULES = (
    Rule(("not_finite",), _not_finite),
    Rule(("gradient_spike",), _gradient_spike),
    Rule(("entropy_collapse", "entropy_explosion"), _entropy),
    Rule(("mismatch",), _mismatch),
    Rule(("validation_void",), _validation_void_turns),
    Rule(("accuracy_zero",), _accuracy_zero),
    Rule(("no_variance",), _no_variance),
    Rule(("slow_step",), _slow_step),
    _lost(
        "tools_lost", "retool/tool_call_rate", limit.TOOLS_WERE_THERE, limit.TOOLS_LEFT,
        "tool calls have almost ended: {:.1%} of trajectories, {:.1%} before. Read rollouts/; "
        "reward_mix.tool_bonus pays for calls",
    ),
    _lost(
        "accuracy_lost", "retool/accuracy", limit.ACCURACY_WAS_THERE, limit.ACCURACY_LEFT,
        "accuracy {:.1%}, {:.1%} before. Read rollouts/ of these steps; an earlier checkpoint may be best",
    ),
    _ceiling(
        "sandbox_unavailable", "retool/sandbox_unavailable_rate", limit.SANDBOX_UNAVAILABLE, 1,
        "calls of {:.1%} of trajectories went unanswered. See sandbox.log; run `retool sandbox check`",
    ),
    _ceiling(
        "dropped", "retool/dropped_rate", limit.DROPPED, 1,
        "{:.1%} of trajectories left the batch. See retool/sandbox_unavailable_rate and sandbox.log",
    ),
    _ceiling(
        "truncated", "retool/truncated_rate", limit.TRUNCATED, limit.IN_A_ROW,
        "{:.1%} of trajectories hit a budget. retool/truncated_by_*_rate: tokens, turns, calls or seconds",
    ),
    _ceiling(
        "void_turns", "retool/void_turn_rate", limit.VOID_TURNS, limit.IN_A_ROW,
        "{:.1%} of turns hold neither call nor answer. retool.masks.void_turns=true trains on none of them",
    ),
    _ceiling(
        "parse_failures", "retool/parse_failure_rate", limit.PARSE_FAILURES, limit.IN_A_ROW,
        "{:.1%} of attempted calls cannot be run. malformed, unknown_tool and bad_arguments rates say why",
    ),
)  # fmt: skip
