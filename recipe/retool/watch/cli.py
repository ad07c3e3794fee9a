"""``retool watch``: a live view of a run in the terminal. It reads files, and touches nothing."""

import argparse
import sys
import time
from io import TextIOWrapper
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live

from recipe.retool.watch.figures import Figures, figures
from recipe.retool.watch.frame import draw
from recipe.retool.watch.source import FolderReader, Look
from recipe.retool.watch.stages import read_stages, working_folder

_SLICE_SECONDS = 0.2  # how fast the view follows a window that changes its size
_LEAST_SECONDS = 0.2


def main(argv: list[str]) -> int:
    """Entry of the verb; Ctrl-C is the way out and no failure: 0."""
    parser = argparse.ArgumentParser(prog="retool watch", description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of quickstart, sft, rl or evaluate")
    parser.add_argument("--once", action="store_true", help="print one frame and end")
    parser.add_argument(
        "--interval", type=_interval, default=2.0, metavar="SECONDS", help="between two looks (default: 2)"
    )
    args = parser.parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a folder's name may hold what the terminal cannot show
    console = Console(highlight=False)
    watch = Watch(console, args.run)
    if args.once or not console.is_terminal:
        console.print(watch.frame(None))
        return 0
    try:
        _live(console, watch, args.interval)
    except KeyboardInterrupt:
        console.print(watch.frame(None))
        console.print("watching has ended; the run itself was not touched")
    return 0


class Watch:
    """Looks at a run folder and draws what it sees.

    Args:
        console: Where it is drawn.
        run: The folder, as the user named it.
    """

    def __init__(self, console: Console, run: Path) -> None:
        self._console = console
        self._run = run
        self._reader: FolderReader | None = None
        self._figures = Figures()
        self._judged: tuple[Path, int, int | None, int] | None = None

    def frame(self, height: int | None) -> Group:
        """What there is to see now, in at most ``height`` rows if it can be.

        Raises:
            DataError: The run folder does not exist.
        """
        stages = read_stages(self._run)
        folder = working_folder(self._run, stages)
        if self._reader is None or self._reader.folder != folder:
            self._reader = FolderReader(folder)
        look = self._reader.look()
        return draw(self._console, str(self._run), look, stages, self._figures_of(look), height)

    def _figures_of(self, look: Look) -> Figures:
        """All steps are gone through only when there is a new one."""
        now = (look.folder, len(look.metrics), look.step, look.attempt)
        if now != self._judged:
            self._figures, self._judged = figures(look.metrics), now
        return self._figures


def _live(console: Console, watch: Watch, interval: float) -> None:
    """Draw until Ctrl-C; the alternate screen gives back what stood there before."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            size = console.size
            live.update(watch.frame(size.height), refresh=True)
            until = time.monotonic() + interval
            while time.monotonic() < until and console.size == size:
                time.sleep(min(_SLICE_SECONDS, interval))


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not _LEAST_SECONDS <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: give seconds, {_LEAST_SECONDS} or more")
    return seconds
