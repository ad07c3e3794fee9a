"""Runs -> one HTML page that needs nothing else."""

import base64
import gzip
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from recipe.retool.errors import DataError
from recipe.retool.records.folders import find_run
from recipe.retool.report.figure_table import SECTIONS
from recipe.retool.report.figures import charts
from recipe.retool.report.gather import Gatherer, Limits
from recipe.retool.report.run_data import RunData
from recipe.retool.report.run_facts import (
    decimal,
    differences,
    facts,
    headline,
    percent,
    quickstart_rows,
    results,
)
from recipe.retool.report.viewer_data import ViewerData

Progress = Callable[[int], None]
_SCRIPTS = ("unpack.js", "vendor/prism-core.min.js", "vendor/prism-python.min.js", "charts.js", "viewer.js")
_PAGE = resources.files("recipe.retool.report") / "page"


@dataclass(frozen=True)
class ReportResult:
    """A page that was written.

    Attributes:
        path: The file.
        bytes: Its size.
        shown: Trajectories in it.
        read: Trajectories that the runs have.
        notes: What is missing or was skipped, with the name of the run.
    """

    path: Path
    bytes: int
    shown: int
    read: int
    notes: tuple[str, ...]


def write_report(
    runs: Sequence[Path],
    output: Path,
    limits: Limits | None = None,
    progress: Progress = lambda _: None,
) -> ReportResult:
    """Read runs and write the page.

    Args:
        runs: Folders of ``retool rl``, ``retool quickstart`` or ``retool evaluate``.
        output: The HTML file; its folder is made.
        limits: How many trajectories of each run are shown, and how much text altogether.
        progress: Called with the number of bytes of trajectories that were read since the last call.

    Raises:
        DataError: No run was named, a folder holds none, or there is nothing in it that can be shown.
    """
    if not runs:
        raise DataError("no run was named; name run folders (--output of `retool rl`)")
    limits = limits or Limits()
    each = Limits(limits.trajectories, limits.pairs, limits.characters // len(runs))
    folders = [find_run(path) for path in runs]
    data = [
        Gatherer(folder, label, each, progress).run()
        for folder, label in zip(folders, labels(runs), strict=True)
    ]
    for run in data:
        _refuse_empty(run)
    viewer = ViewerData()
    for place, run in enumerate(data):
        viewer.add(place, run)
    index = viewer.index()
    output.parent.mkdir(parents=True, exist_ok=True)
    # "replace": a name of a folder or a data set may hold half of a surrogate pair, which UTF-8 cannot.
    output.write_text(_render(data, index, viewer), encoding="utf-8", errors="replace")
    return ReportResult(
        path=output,
        bytes=output.stat().st_size,
        shown=len(index["rows"]),
        read=sum(sum(run.chosen.read.values()) for run in data),
        notes=tuple(f"{run.label}: {note}" for run in data for note in run.notes),
    )


def labels(runs: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell the runs apart; the same folder twice gets a number."""
    parts = [path.resolve().parts for path in runs]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{part[-1]} ({place})" for place, part in enumerate(parts, 1)]


def pack(value: Any) -> str:
    """JSON, gzip, base64: text that holds no character that HTML would read as anything else."""
    return _packed(json.dumps(value, separators=(",", ":")).encode("utf-8"))


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, 6, mtime=0)).decode("ascii")


def _refuse_empty(run: RunData) -> None:
    if run.steps or run.validation or run.overall or run.metrics:
        return
    said = " ".join(run.notes) or "its files are empty."
    raise DataError(f"{run.folder.folder}: nothing to show: {said}")


def _render(runs: Sequence[RunData], index: dict[str, Any], viewer: ViewerData) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_page_file), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"percent": percent, "decimal": decimal}
    figures = charts(runs)
    different, more = differences(runs)
    return environment.get_template("report.html").render(
        title=" · ".join(run.label for run in runs),
        runs=[_head(run) for run in runs],
        sections={key: [one for one in figures if one["section"] == key] for key in SECTIONS},
        section_titles=SECTIONS,
        different=different,
        more_different=more,
        shown=len(index["rows"]),
        read=sum(sum(run.chosen.read.values()) for run in runs),
        style=_page_file("report.css"),
        scripts=[_page_file(name) for name in _SCRIPTS],
        plotly=_plotly(),
        figures=pack({"figures": figures, "runs": [run.label for run in runs]}),
        index=pack(index),
        chunks=[pack(chunk) for chunk in viewer.chunks()],
    )


def _head(run: RunData) -> dict[str, Any]:
    return {
        "label": run.label,
        "folder": str(run.folder.name),
        "facts": facts(run),
        "results": results(run),
        "headline": headline(run),
        "steps": max(run.steps, default=0),
        "quickstart": quickstart_rows(run),
        "evaluation": {name: asdict(one.score) for name, one in run.evaluation.items() if one.score},
        "notes": run.notes,
        "findings": run.findings,
        "read": run.chosen.read,
    }


def _page_file(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")


def _plotly() -> str:
    """Plotly's basic bundle: it has lines and bars, and starts in a tenth of the time of the whole."""
    return _packed((_PAGE / "vendor" / "plotly-basic.min.js").read_bytes())
