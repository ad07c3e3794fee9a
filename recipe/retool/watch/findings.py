"""What in the metrics of a run deserves a look: a pure function from metrics by step to findings.

docs/watch.rst lists the kinds and what to do about each. A finding stops nothing: ``alarm`` ends a run whose
first steps call no tool, and that is all that is ended.
"""

from dataclasses import dataclass

from recipe.retool.watch.finding_rules import RULES, Found
from recipe.retool.watch.series import Metrics

KINDS = tuple(sorted({kind for rule in RULES for kind in rule.kinds}))


@dataclass(frozen=True)
class Finding:
    """Something to look at.

    Attributes:
        step: Where it begins.
        last: The last step at which it is so.
        kind: One of :data:`KINDS`.
        text: What was seen, and where to look.
    """

    step: int
    last: int
    kind: str
    text: str

    @property
    def steps(self) -> str:
        """``step 3`` or ``steps 3 to 7``."""
        return f"step {self.step}" if self.step == self.last else f"steps {self.step} to {self.last}"


def findings(metrics: Metrics) -> list[Finding]:
    """All findings of a run, in the order of the steps at which they begin.

    Args:
        metrics: Metrics of verl and of the sampler by step, as of ``read_metrics``. Missing names and values
            that are no numbers say nothing, apart from ``not_finite``.
    """
    found: list[Found] = [one for rule in RULES for one in rule.find(metrics)]
    return sorted(
        (Finding(one.first, one.last, one.kind, one.text) for one in found),
        key=lambda finding: (finding.step, finding.kind, finding.text),
    )
