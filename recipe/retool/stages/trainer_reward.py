"""A reward function of a notebook, where verl's processes can import it."""

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recipe.retool.errors import ConfigError

_MODULE = "retool_python_reward"
_SOURCE = '''"""Loads the reward function that ReToolTrainer was given."""

from pathlib import Path

import cloudpickle

function = cloudpickle.loads(Path(__file__).with_name("reward.pkl").read_bytes())
'''


@contextmanager
def importable(reward: Any, folder: Path) -> Iterator[str]:
    """While it lasts, ``pkg://`` and the result names ``reward``; an empty text when it is no function.

    A function of an imported module is named as it is. One of a notebook lies pickled in the run folder,
    which is put on PYTHONPATH for the engine's processes.
    """
    if not callable(reward):
        yield ""
        return
    module = getattr(reward, "__module__", "__main__")
    name = getattr(reward, "__qualname__", "")
    if module != "__main__" and name.isidentifier() and hasattr(sys.modules.get(module), name):
        yield f"{module}:{name}"
        return
    import cloudpickle  # type: ignore[import-untyped]

    (folder / "reward.pkl").write_bytes(cloudpickle.dumps(reward))
    (folder / f"{_MODULE}.py").write_text(_SOURCE)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), before)))
    sys.path.insert(0, str(folder))
    sys.modules.pop(_MODULE, None)  # of an earlier trainer
    try:
        yield f"{_MODULE}:function"
    finally:
        sys.path.remove(str(folder))
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def reward_overrides(reward: Mapping[str, Any] | Callable[..., float] | None, name: str) -> list[str]:
    """The Hydra overrides that choose a reward.

    Args:
        reward: Weights by part, a function, or None for the recipe's own.
        name: ``module:function`` of a function.

    Raises:
        ConfigError: It is none of these.
    """
    if reward is None:
        return []
    if callable(reward):
        function = f"{{weight: 1.0, function: 'pkg://{name}'}}"
        return ["~reward_mix", f"+reward_mix.python={function}"]
    if not isinstance(reward, Mapping):
        raise ConfigError(f"reward={reward!r}: give weights by part, or a function")
    return ["~reward_mix", *(f"+reward_mix.{part}={weight}" for part, weight in reward.items())]
