"""ReTool on verl: teach a language model to use a code interpreter (arXiv 2504.11536)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recipe.retool.stages.trainer import ReToolTrainer

__all__ = ["ReToolTrainer", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name == "ReToolTrainer":  # imported when asked for: every process of the sandbox imports this package
        from recipe.retool.stages.trainer import ReToolTrainer

        return ReToolTrainer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
