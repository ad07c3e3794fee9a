"""What ``device=auto`` decided, on the screen and in the run folder."""

import json
from dataclasses import asdict
from pathlib import Path

from recipe.retool.device.detect import Detection
from recipe.retool.stages.progress import say


def tell_detection(found: Detection | None) -> None:
    """Print what was chosen and why."""
    if found is not None:
        say(f"  device=auto: {found.device}, because {'; '.join(found.evidence)}")


def write_detection(found: Detection | None, folder: Path) -> None:
    """Keep it beside the config."""
    if found is not None:
        (folder / "device.json").write_text(json.dumps(asdict(found), indent=2))
