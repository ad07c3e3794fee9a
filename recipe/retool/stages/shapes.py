"""What a model's config.json says of its size: for the checks of a layout and the estimate of memory."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from recipe.retool.errors import ConfigError


@dataclass(frozen=True)
class ModelShape:
    """A dense decoder of the Llama family.

    Attributes:
        heads: Attention heads.
        kv_heads: Key and value heads.
        layers: Layers.
        hidden: Width of the residual stream.
        intermediate: Width of the MLP.
        vocabulary: Rows of the embedding.
        head_size: Width of one head.
        tied: The embedding is the output matrix too.
    """

    heads: int
    kv_heads: int
    layers: int
    hidden: int
    intermediate: int
    vocabulary: int
    head_size: int
    tied: bool

    def parameters(self) -> int:
        """Number of parameters, norms and biases left out (under 0.1 %)."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.kv_heads)
        block = attention + 3 * self.hidden * self.intermediate
        return self.layers * block + self.vocabulary * self.hidden * (1 if self.tied else 2)

    def cache_bytes(self, element: int = 2) -> int:
        """Bytes of the key-value cache for one token."""
        return 2 * self.layers * self.kv_heads * self.head_size * element


# config.json of the models on the Hugging Face hub, by the name of our config group.
KNOWN_SHAPES = {
    "qwen2_5_7b": ModelShape(28, 4, 28, 3584, 18944, 152064, 128, False),
    "qwen2_5_32b": ModelShape(40, 8, 64, 5120, 27648, 152064, 128, False),
    "qwen3_4b": ModelShape(32, 8, 36, 2560, 9728, 151936, 128, True),
    "qwen3_0_6b": ModelShape(16, 8, 28, 1024, 3072, 151936, 128, True),
}


# Where the model of a group lies when no path is given (configs/model/, as `retool merge` writes it).
_OWN_PATH = "runs/sft/hf"


def shape_of(path: str, group: str) -> ModelShape | None:
    """The shape of the model at ``path``; that of the group when this is its own model; None when unknown.

    Raises:
        ConfigError: There is a config.json, and it cannot be read.
    """
    file = Path(path).expanduser() / "config.json"
    if file.is_file():
        try:
            config = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"{file} cannot be read ({error}): write the model again, or download it"
            ) from error
        if not isinstance(config, dict) or not config:
            raise ConfigError(
                f"{file} is not a JSON object, or an empty one: write the model again, or download it"
            )
        return read_shape(config)
    return KNOWN_SHAPES.get(group) if path == _OWN_PATH or _named_like(path, group) else None


def _named_like(path: str, group: str) -> bool:
    """Qwen/Qwen2.5-7B-Instruct is a model of the group qwen2_5_7b, Qwen/Qwen3-8B is not."""
    name = re.sub("[.-]", "_", path.rstrip("/").rpartition("/")[2].lower())
    return f"{name}_".startswith(f"{group}_")


def read_shape(config: dict[str, object]) -> ModelShape | None:
    """The shape in a config.json; None when it is not that of a dense decoder of this family."""

    def number(key: str, default: int = 0) -> int:
        value = config.get(key)
        return value if isinstance(value, int) else default

    heads, hidden = number("num_attention_heads"), number("hidden_size")
    if heads < 1 or hidden < 1 or "num_experts" in config:
        return None
    shape = ModelShape(
        heads=heads,
        kv_heads=number("num_key_value_heads", heads),
        layers=number("num_hidden_layers"),
        hidden=hidden,
        intermediate=number("intermediate_size"),
        vocabulary=number("vocab_size"),
        head_size=number("head_dim", hidden // heads),
        tied=config.get("tie_word_embeddings") is True,
    )
    sizes = (shape.kv_heads, shape.layers, shape.vocabulary, shape.head_size)
    return shape if min(sizes) > 0 else None
