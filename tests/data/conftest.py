"""Input files for the data tests, and the folder of real rows where there is one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"


@pytest.fixture
def jsonl(tmp_path: Path) -> Callable[..., str]:
    """Writes rows as JSON lines and returns the path."""

    def write(*rows: Any, name: str = "rows.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def real() -> Path:
    """Folder of real rows; the test is skipped where it is not."""
    if not REAL.is_dir():
        pytest.skip(f"no real rows in {REAL}")
    return REAL
