"""The table at the end of a quickstart."""

import io
from typing import Any

from rich.console import Console
from rich.table import Table

MODELS = {"base": "base", "sft": "after SFT", "rl": "after RL"}


def render(summary: dict[str, Any]) -> str:
    """Accuracy, tool use and time as text, 100 columns wide."""
    stream = io.StringIO()
    console = Console(file=stream, width=100)
    console.print(_figures(summary))
    minutes = summary["minutes"]
    stages = ", ".join(f"{name} {minutes[name]:.1f}" for name in ("sft", "merge", "rl", "evaluate"))
    console.print(f"minutes: {stages}, total {minutes['total']:.1f}", highlight=False)
    return stream.getvalue().rstrip()


def _figures(summary: dict[str, Any]) -> Table:
    first = next(iter(summary["evaluation"].values()))
    title = f"{first['problems']} held-out problems, avg@{first['samples']}, seed {summary['seed']}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for label in MODELS.values():
        table.add_column(label, justify="right")
    for name, cells in _rows(summary["evaluation"]):
        table.add_row(name, *cells)
    return table


def _rows(evaluation: dict[str, Any]) -> list[tuple[str, list[str]]]:
    models = [evaluation[name] for name in MODELS]
    rows = [
        ("accuracy", [f"{m['accuracy']:.1%}" for m in models]),
        ("  95% interval", [f"{m['low']:.1%} to {m['high']:.1%}" for m in models]),
        ("tool-call rate", [f"{m['tool_call_rate']:.1%}" for m in models]),
        ("code pass rate", [_share(m["code_pass_rate"]) for m in models]),
        ("turns", [f"{m['mean_turns']:.2f}" for m in models]),
        ("response tokens", [f"{m['response_tokens']:.0f}" for m in models]),
    ]
    for group in models[0]["by_difficulty"]:
        of_group = [m["by_difficulty"][group] for m in models]
        rows.append((f"{group}: accuracy", [f"{g['accuracy']:.1%}" for g in of_group]))
        rows.append((f"{group}: tool-call rate", [f"{g['tool_call_rate']:.1%}" for g in of_group]))
    return rows


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
