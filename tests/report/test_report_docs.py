"""docs/report.rst knows every figure of the page."""

from pathlib import Path

import pytest

from recipe.retool.report.figure_table import FIGURES

TEXT = " ".join((Path(__file__).resolve().parents[2] / "docs" / "report.rst").read_text().split())


@pytest.mark.parametrize("title", [figure.title for figure in FIGURES])
def test_every_chart_is_explained(title: str) -> None:
    first = title.split(", right and")[0]  # the rest of it stands in the next line of a table
    assert first in TEXT
