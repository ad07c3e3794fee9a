"""The names that verl configs point at (``pkg://recipe.retool.retool``).

``compute_score`` imports without verl, so the other names are looked up when first asked for.
"""

from typing import TYPE_CHECKING, Any

from recipe.retool.reward.score import compute_score

if TYPE_CHECKING:
    from recipe.retool.verl_ext.agent_loop import ReToolAgentLoop
    from recipe.retool.verl_ext.dataset import CustomRLHFDataset
    from recipe.retool.verl_ext.sft_dataset import CustomSFTDataset
    from recipe.retool.verl_ext.tool import CodeInterpreterTool
    from recipe.retool.verl_ext.tool import CodeInterpreterTool as CustomSandboxFusionTool

__all__ = [
    "CodeInterpreterTool",
    "CustomRLHFDataset",
    "CustomSFTDataset",
    "CustomSandboxFusionTool",
    "ReToolAgentLoop",
    "compute_score",
]

_LAZY = {
    "CodeInterpreterTool": "tool.CodeInterpreterTool",
    "CustomSandboxFusionTool": "tool.CodeInterpreterTool",  # the name in upstream's tool configs
    "CustomRLHFDataset": "dataset.CustomRLHFDataset",
    "CustomSFTDataset": "sft_dataset.CustomSFTDataset",
    "ReToolAgentLoop": "agent_loop.ReToolAgentLoop",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name].split(".")
    return getattr(import_module(f"recipe.retool.verl_ext.{module}"), attribute)
