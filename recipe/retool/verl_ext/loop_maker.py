"""Agent loops outside of verl's workers: for evaluation, benchmarks and tests."""

from collections.abc import Callable
from typing import Any

from hydra.utils import get_class
from omegaconf import OmegaConf


def loop_maker(config: Any, engine: Any, tokenizer: Any, model_type: str | None = None) -> Callable[[], Any]:
    """What makes the agent loop that a config names, one for each trajectory, as the verl at hand does.

    Args:
        config: A whole RL config.
        engine: In the place of verl's server manager: ``await generate(request_id=, prompt_ids=,
            sampling_params=)`` gives a ``TokenOutput``.
        tokenizer: The model's.
        model_type: Of the model's ``config.json``; verl 0.9.1 chooses by it how turns are joined.
    """
    agent = config.actor_rollout_ref.rollout.agent
    named = {entry.name: entry._target_ for entry in OmegaConf.load(agent.agent_loop_config_path)}
    loop = get_class(named[agent.default_agent_loop])
    if hasattr(loop, "init_class"):  # verl 0.6.1
        from verl.experimental.agent_loop.agent_loop import _DummyConfig

        return lambda: loop(_DummyConfig(config), engine, tokenizer, None)
    from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap
    from verl.tools.tool_registry import initialize_tools_from_config
    from verl.utils.dataset.rl_dataset import get_dataset_class

    wraps = DictConfigWrap(config), DictConfigWrap(config.data)
    tools = ToolListWrap(
        initialize_tools_from_config(config.actor_rollout_ref.rollout.multi_turn.tool_config_path)
    )
    classes = get_dataset_class(config.data)
    return lambda: loop(wraps[0], engine, tokenizer, None, classes, wraps[1], model_type, tools=tools)


def dataset_class(config: Any) -> Any:
    """The data set that a config names."""
    try:
        from verl.utils.dataset.rl_dataset import get_dataset_class
    except ImportError:  # verl 0.6.1
        from verl.utils.import_utils import load_extern_type
    else:
        return get_dataset_class(config.data)
    return load_extern_type(config.data.custom_cls.path, config.data.custom_cls.name)
