"""One frame of ``retool watch``: what is known of a run, drawn for one width and height."""

from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from recipe.retool.watch.answers import Answered
from recipe.retool.watch.figures import Figures
from recipe.retool.watch.finding_limits import IN_A_ROW
from recipe.retool.watch.findings import Finding
from recipe.retool.watch.source import Look
from recipe.retool.watch.sparkline import BLOCKS, PLAIN, sparkline
from recipe.retool.watch.stages import Stage
from recipe.retool.watch.state import state_lines, title
from recipe.retool.watch.words import harmless

_LABEL = 12  # width of the names at the left
_DATA_SETS = 4  # of validation
_ANSWER_ROWS = (
    ("accuracy", "accuracy", True),
    ("tool calls", "tool_call_rate", True),
    ("code passes", "code_pass_rate", True),
    ("truncated", "truncated_rate", True),
    ("turns", "turns_per_response", False),
)


def draw(
    console: Console,
    name: str,
    look: Look,
    stages: Sequence[Stage],
    figures: Figures,
    height: int | None,
) -> Group:
    """Everything about a run.

    Args:
        console: Decides on width, colours and whether blocks can be shown.
        name: The run, as the user named it.
        look: What its files say.
        stages: Of a quickstart.
        figures: What its metrics give.
        height: Rows of the screen; None when there is no need to save them.
    """
    parts: list[RenderableType] = [Text(harmless(title(name, look, stages)), style="bold")]
    parts += [Text(line) for line in state_lines(look, stages, figures)]
    if look.answers:
        parts.append(_answers(look.answers))
    if look.metrics:
        parts += _figures(console, figures)
    if not (look.metrics or look.answers) or _quiet(look):
        parts += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in look.log]
    if look.bad:
        parts.append(Text(f"lines that could not be read: {look.bad}", style="yellow"))
    room = None if height is None else max(0, height - _rows(console, parts))
    return Group(*parts, *_findings(console, figures, room))


def _quiet(look: Look) -> bool:
    """The steps stopped before the last one: the log may say why."""
    return look.ended and look.plan.total is not None and (look.step or 0) < look.plan.total


def _figures(console: Console, figures: Figures) -> list[RenderableType]:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    steps = "step" if figures.span == 1 else f"{figures.span} steps"
    table.add_column("", no_wrap=True)
    for heading in (f"last {steps}", f"first {steps}", "change"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in figures.rates:
        table.add_row(row.name, row.now, row.first, row.change)
    parts: list[RenderableType] = [table] if figures.rates else []
    parts += [_curve(console, label, values) for label, values in figures.curves.items()]
    parts += [_labelled("step time", figures.timing)] if figures.timing else []
    checked = figures.validations[:_DATA_SETS]
    parts += [_labelled("" if number else "validation", line) for number, line in enumerate(checked)]
    return parts


def _curve(console: Console, label: str, values: Sequence[float]) -> Text:
    ends = f"  {min(values):.2f} to {max(values):.2f}"
    blocks = PLAIN if console.options.ascii_only else BLOCKS
    return _labelled(label, sparkline(values, console.width - _LABEL - len(ends) - 1, blocks) + ends)


def _labelled(label: str, text: str) -> Text:
    return Text(f"{label:<{_LABEL}}{harmless(text)}", no_wrap=True, overflow="ellipsis")


def _answers(answers: Answered) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    for label, name, share in _ANSWER_ROWS:
        value = answers.figures.get(f"retool/{name}")
        if value is not None:
            table.add_row(label, f"{value:.1%}" if share else f"{value:.2f}")
    return table


def _findings(console: Console, figures: Figures, room: int | None) -> list[Text]:
    """Present ones first, then past ones, each the latest first; cut to fit into ``room`` rows."""
    newest = figures.newest
    ordered = sorted(figures.findings, key=lambda one: (one.last < newest, -one.step, -one.last))
    if not ordered:
        few = f" yet: most need {IN_A_ROW} steps" if figures.newest < IN_A_ROW else ""
        return [Text(f"no findings{few}", style="dim")] if figures.rates else []
    whole = [_finding(one, newest) for one in ordered]
    if room is None or _rows(console, whole) < room:
        return whole
    for line in whole:
        line.no_wrap, line.overflow = True, "ellipsis"
    if len(whole) < room:  # the last row of a terminal stays free
        return whole
    fit = max(0, room - 2)  # and one is for the note
    return [
        *whole[:fit],
        Text(f"{len(whole) - fit} more: retool watch RUN --once", style="dim", no_wrap=True),
    ]


def _finding(finding: Finding, newest: int) -> Text:
    present = finding.last >= newest
    when = f"since step {finding.step}" if present and finding.step < finding.last else finding.steps
    return Text(f"! {finding.kind}, {when}: {finding.text}", style="yellow" if present else "dim")


def _rows(console: Console, parts: Sequence[RenderableType]) -> int:
    return len(console.render_lines(Group(*parts), pad=False)) if parts else 0
