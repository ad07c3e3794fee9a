"""``python3 recipe/retool/retool_sft_preprocess.py``: the upstream guide's name for ``retool data sft``.

Without arguments it downloads JoeYing/ReTool-SFT and writes ~/ReTool-SFT/data/train-00000-of-00001.parquet.
"""

import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Convert ReTool-SFT; takes the arguments of ``retool data sft`` and returns its exit code."""
    from recipe.retool.data.cli import main as data_main

    return data_main(["sft", *argv])


if __name__ == "__main__":
    here = str(Path(__file__).resolve().parent)
    # Python puts the script's own folder first on the path, where our `data` or `tools` could hide others;
    # the folder that holds `recipe` serves when the package is not installed.
    sys.path[:] = [path for path in sys.path if path != here]
    try:
        import recipe.retool.data.cli  # noqa: F401
    except ModuleNotFoundError:
        sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    sys.exit(main(sys.argv[1:]))
