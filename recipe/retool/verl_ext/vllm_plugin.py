"""Entry point ``vllm.general_plugins``: lets a vLLM CPU engine take new weights at every RL step.

After loading, vLLM's CPU backend packs each linear weight into a private layout and drops the
original parameter, so a second load fails with "'Parameter' object has no attribute 'weight_loader'".
Training needs that second load: here the plain weight stays and plain ``linear`` is used.
Inert unless verl was told to run on the CPU, so an ordinary ``vllm serve`` keeps its fast path.
"""

from typing import Any


def register() -> None:
    """Keep plain weights (called by vLLM in each of its processes)."""
    from recipe.retool.verl_ext.cpu_plugin import enabled

    if not enabled():
        return
    from vllm.model_executor.layers import linear, utils, vocab_parallel_embedding

    for module in (utils, linear, vocab_parallel_embedding):
        if hasattr(module, "dispatch_cpu_unquantized_gemm"):
            module.dispatch_cpu_unquantized_gemm = _keep_plain_weight


def _keep_plain_weight(layer: Any, remove_weight: bool) -> None:
    """Stand-in of vLLM's ``dispatch_cpu_unquantized_gemm`` (vllm/model_executor/layers/utils.py)."""
    import torch

    layer.cpu_linear = torch.nn.functional.linear
