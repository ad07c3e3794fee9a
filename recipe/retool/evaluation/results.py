"""What an evaluation leaves beside its answers: ``summary.json`` and ``problems.csv``.

The names at the top of the summary (``results``, ``n-samples``, ``config``, ``versions``, ``git_hash``,
``date``) are those of lm-evaluation-harness's results file; the metrics have names of their own.
"""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

from recipe.retool.evaluation.at_k import most_frequent
from recipe.retool.evaluation.figures import EvalSummary, Row, by_problem, right, summarise, summarise_by
from recipe.retool.records.behaviour import behaviour
from recipe.retool.records.folders import SUMMARY

PROBLEMS = "problems.csv"
_PRINTED = 40  # problems; a longer table is in the file alone
_WIDTH = 48  # characters of a question in the printed table


def write_results(
    folder: Path,
    rows: Sequence[Row],
    config: Mapping[str, Any],
    versions: Mapping[str, str],
) -> EvalSummary:
    """Write both files, and return the figures of all problems together.

    Args:
        folder: Where to.
        rows: Lines of ``samples.jsonl``; at least one.
        config: What the evaluation was made with.
        versions: Of what is installed; ``git`` is the revision.
    """
    by_source = summarise_by(rows, lambda row: str(row["data_source"]))
    overall = summarise(rows)
    record = {
        "results": {name: _named(figures) for name, figures in by_source.items()},
        "n-samples": {
            name: {"original": figures.problems, "effective": figures.problems}
            for name, figures in by_source.items()
        },
        "overall": overall.as_dict(),
        "behaviour": behaviour(rows),
        "answers": len(rows),
        "config": dict(config),
        "versions": {name: version for name, version in versions.items() if name != "git"},
        "git_hash": versions.get("git", ""),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }
    (folder / SUMMARY).write_text(json.dumps(record, indent=2))
    (folder / PROBLEMS).write_text(problem_table(rows), encoding="utf-8")
    return overall


def _named(figures: EvalSummary) -> dict[str, Any]:
    """Figures of one data set by the names that people compare."""
    k = figures.samples
    return {
        f"avg@{k}": figures.accuracy,
        f"avg@{k}_stderr": figures.stderr,
        f"avg@{k}_interval95": [figures.low, figures.high],
        **{f"pass@{at}": value for at, value in figures.pass_at.items()},
        f"maj@{k}": figures.maj_at_k,
    }


def problem_table(rows: Sequence[Row]) -> str:
    """One line of CSV for each problem."""
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(
        ["data_source", "doc_id", "gold", "answers", "right", "accuracy", "most_frequent", "calls", "tokens"]
    )
    for name, group in by_problem(rows).items():
        first = group[0]
        calls = fmean(row["tool_calls"] for row in group)
        tokens = fmean(row["response_tokens"] for row in group)
        writer.writerow(
            [
                *(first["data_source"], name, first["gts"], len(group), right(group)),
                *(f"{right(group) / len(group):.4f}", _favourite(group)),
                *(f"{calls:.2f}", f"{tokens:.0f}"),
            ]
        )
    return stream.getvalue()


def render(rows: Sequence[Row], width: int = 100) -> str:
    """The figures as tables of text; problem by problem too where there are few."""
    stream = io.StringIO()
    console = Console(file=stream, width=width)
    table = Table(title="accuracy", title_justify="left")
    for header in ("data", "problems", "avg@k", "95% interval", "pass@k", "maj@k"):
        table.add_column(header, justify="left" if header == "data" else "right")
    sources = summarise_by(rows, lambda row: str(row["data_source"]))
    for name, figures in sources.items():
        table.add_row(
            *(name, str(figures.problems), f"{figures.accuracy:.1%} (k={figures.samples})"),
            *(f"{figures.low:.1%} to {figures.high:.1%}", f"{figures.pass_at[figures.samples]:.1%}"),
            f"{figures.maj_at_k:.1%}",
        )
    console.print(table)
    console.print(_tool_line(summarise(rows)), highlight=False)
    if len(by_problem(rows)) <= _PRINTED:
        console.print(_printed_problems(rows))
    return stream.getvalue().rstrip()


def _tool_line(figures: EvalSummary) -> str:
    passed = "-" if figures.code_pass_rate is None else f"{figures.code_pass_rate:.1%}"
    return (
        f"tool-call rate {figures.tool_call_rate:.1%}, code pass rate {passed}, "
        f"turns {figures.mean_turns:.2f}, response {figures.response_tokens:.0f} tokens, "
        f"truncated {figures.truncated:.1%}"
    )


def _printed_problems(rows: Sequence[Row]) -> Table:
    table = Table(title="problem by problem", title_justify="left")
    for header in ("question", "gold", "right", "most frequent", "calls"):
        table.add_column(header, justify="left" if header == "question" else "right", overflow="ellipsis")
    for group in by_problem(rows).values():
        table.add_row(
            _question(str(group[0]["input"])),
            str(group[0]["gts"]),
            f"{right(group)}/{len(group)}",
            _favourite(group)[:24],
            f"{fmean(row['tool_calls'] for row in group):.1f}",
        )
    return table


def _favourite(group: Sequence[Row]) -> str:
    """The most frequent answer; the first of tied ones, and nothing where none was given."""
    return next(iter(most_frequent([str(row.get("pred", "")) for row in group])), "")


def _question(prompt: str) -> str:
    """What stands after the last "user" line of a prompt, on one line."""
    asked = f"\n{prompt}".rpartition("\nuser\n")[2] or prompt
    text = " ".join(asked.split())
    return text if len(text) <= _WIDTH else text[: _WIDTH - 1] + "…"
