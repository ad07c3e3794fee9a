"""docs/watch.rst tells every finding and its threshold."""

import re
from pathlib import Path

import pytest

from recipe.retool.watch import finding_limits as limit
from recipe.retool.watch.findings import KINDS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "watch.rst").read_text(encoding="utf-8")
ROWS = dict(re.findall(r"^``(\w+)``  (.*?)(?=^``|^===)", PAGE, re.MULTILINE | re.DOTALL))
THRESHOLDS = [
    ("tools_lost", f"above {limit.TOOLS_WERE_THERE:.0%}"),
    ("tools_lost", f"to {limit.TOOLS_LEFT:.0%}"),
    ("accuracy_lost", f"above {limit.ACCURACY_WAS_THERE:.0%}"),
    ("accuracy_lost", f"to {limit.ACCURACY_LEFT:.0%}"),
    ("accuracy_zero", f"{limit.ZERO_ACCURACY_STEPS} steps"),
    ("no_variance", f"{limit.NO_VARIANCE_STEPS} steps"),
    ("gradient_spike", f"{limit.GRADIENT_TIMES:.0f} times"),
    ("gradient_spike", f"of {limit.EARLIER_STEPS}"),
    ("gradient_spike", f"above {limit.GRADIENT_FLOOR:.1f}"),
    ("entropy_collapse", f"at {limit.ENTROPY_LEFT:.0%}"),
    ("entropy_explosion", f"{limit.ENTROPY_TIMES:.0f} times"),
    ("entropy_explosion", f"{limit.ENTROPY_FLOOR:.1f}"),
    ("mismatch", f"{limit.MISMATCH_TIMES:.0f} times"),
    ("mismatch", f"{limit.MISMATCH_FLOOR:.2f}"),
    ("sandbox_unavailable", f"{limit.SANDBOX_UNAVAILABLE:.0%}"),
    ("dropped", f"{limit.DROPPED:.0%}"),
    ("truncated", f"{limit.TRUNCATED:.0%}"),
    ("void_turns", f"{limit.VOID_TURNS:.0%}"),
    ("validation_void", f"{limit.VALIDATION_VOID_TURNS:.0%}"),
    ("parse_failures", f"{limit.PARSE_FAILURES:.0%}"),
    ("slow_step", f"{limit.SLOW_TIMES:.0f} times"),
    ("slow_step", f"{limit.SLOW_SECONDS:.0f} s"),
]


def test_the_page_has_a_row_for_every_kind_and_no_other() -> None:
    assert sorted(ROWS) == sorted(KINDS)


@pytest.mark.parametrize(("kind", "words"), THRESHOLDS)
def test_the_page_tells_the_thresholds(kind: str, words: str) -> None:
    assert words in " ".join(ROWS[kind].split())


def test_in_a_row_is_what_the_page_says() -> None:
    assert limit.IN_A_ROW == limit.SAME_STRETCH == 3
    assert "three in a row" in PAGE
