"""What the trajectory viewer reads: a small index for the filters, and the texts in chunks."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from recipe.retool.records.behaviour import CALL_SECONDS
from recipe.retool.report.dialogue_parts import parts, response_segments
from recipe.retool.report.run_data import RunData
from recipe.retool.report.trajectory import Trajectory
from recipe.retool.reward.values import as_number

CHUNK = 50  # trajectories that are unpacked together
_REWARD = ("reward_", "format_ok")
_HIDDEN = {"acc", "score", "reward", "step", "global_steps", "max_global_steps", "min_global_steps", "doc_id",
           "sample", "num_cached_tokens"}  # fmt: skip


class ViewerData:
    """Collects the trajectories of all runs; each is stored once, the texts of problems, too."""

    def __init__(self) -> None:
        self._problems: dict[str, int] = {}
        self._index: list[dict[str, Any]] = []
        self._texts: list[dict[str, Any]] = []
        self._pairs: list[dict[str, Any]] = []
        self._runs: list[dict[str, Any]] = []
        self._places: dict[int, int] = {}

    def add(self, place: int, run: RunData) -> None:
        """Take what was chosen of a run."""
        chosen = run.chosen
        listed = sorted(chosen.sample, key=lambda one: (one.group, one.step or 0, one.text("uid")))
        shown: dict[str, int] = {}
        for one in listed:
            self._store(place, run, one, True)
            shown[one.kind] = shown.get(one.kind, 0) + 1
        for pair in chosen.pairs:
            before, after = (self._store(place, run, one, False) for one in (pair.before, pair.after))
            self._pairs.append({"run": place, "before": before, "after": after})
        self._runs.append(
            {
                "shown": shown,
                "read": dict(chosen.read),
                "pairs": len(chosen.pairs),
                "change": asdict(chosen.change) if chosen.change else None,
                "steps": [chosen.pairs[0].before.step, chosen.pairs[0].after.step] if chosen.pairs else [],
            }
        )

    def index(self) -> dict[str, Any]:
        """For filters, paging and pairs."""
        return {
            "problems": list(self._problems),
            "rows": self._index,
            "pairs": self._pairs,
            "runs": self._runs,
            "chunk": CHUNK,
        }

    def chunks(self) -> Sequence[list[dict[str, Any]]]:
        """The dialogues, in the order of the index."""
        return [self._texts[start : start + CHUNK] for start in range(0, len(self._texts), CHUNK)]

    def _store(self, place: int, run: RunData, one: Trajectory, listed: bool) -> int:
        if id(one) in self._places:
            return self._places[id(one)]
        problem = self._problems.setdefault(one.text("input"), len(self._problems))
        self._places[id(one)] = number = len(self._index)
        self._index.append(
            {
                "run": place,
                "set": one.group,
                "step": one.step,
                "problem": problem,
                "right": one.right,
                "calls": one.number("tool_calls"),
                "failed": one.failed,
                "cut": one.truncated,
                "score": one.number("score"),
                "tokens": one.number("response_tokens"),
                "listed": listed,
            }
        )
        self._texts.append(_dialogue(one, run.environment))
        return number


def _dialogue(one: Trajectory, environment: str) -> dict[str, Any]:
    segments, inferred = response_segments(one.row, environment)
    boxes = parts(segments)
    if one.masked:  # the segments are those of the dialogue, before it was hidden as a whole
        boxes = [{**box, "m": 0} for box in boxes]
    seconds = one.row.get(CALL_SECONDS)
    return {
        "uid": one.text("uid"),
        "gold": one.text("gts"),
        "pred": one.text("pred"),
        "parts": boxes,
        "inferred": inferred,
        "masked": one.masked,
        "reward": _numbers(one, True),
        "counters": _numbers(one, False),
        "seconds": [
            second
            for value in (seconds if isinstance(seconds, list) else ())
            if (second := as_number(value)) is not None
        ],
    }


def _numbers(one: Trajectory, reward: bool) -> Mapping[str, float]:
    """The parts of the reward, or the counters that are not zero."""
    found = {key: number for key in one.row if (number := one.number(key)) is not None and key not in _HIDDEN}
    if reward:
        return {key: value for key, value in found.items() if key.startswith(_REWARD)}
    return {key: value for key, value in found.items() if value and not key.startswith(_REWARD)}
