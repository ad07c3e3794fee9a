"""CPU time of the agent loop itself, against verl's own ``tool_agent``.

Both loops run the same trajectories with an engine that answers at once from a script and a tool that
answers at once, so what is left is the loop: chat templates, tokens, masks, parsing. As in a run, a loop
object is made for each trajectory. Run it:

    python benchmarks/agent_loop.py [--trajectories 300] [--rounds 7]
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALL = '<tool_call>\n{{"name": "code_interpreter", "arguments": {{"code": "print({})"}}}}\n</tool_call>'
ANSWER = "The answer is \\boxed{42}."
PROMPT = [{"role": "user", "content": "What is 6*7? The answer format must be: \\boxed{answer}"}]


class Engine:
    """Answers with scripted turns, one after the other, for any number of trajectories."""

    def __init__(self, turns: list[list[int]]) -> None:
        self._turns = turns
        self._next: dict[str, int] = {}

    async def generate(self, request_id: str, **_: Any) -> Any:
        from verl.workers.rollout.replica import TokenOutput

        number = self._next.get(request_id, 0)
        self._next[request_id] = number + 1
        ids = list(self._turns[number])
        return TokenOutput(token_ids=ids, log_probs=[-0.5] * len(ids))


def make_tool() -> Any:
    """A verl tool that answers at once."""
    from verl.tools.base_tool import BaseTool
    from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse

    from recipe.retool.tools.schema import CODE_INTERPRETER_SCHEMA

    class Instant(BaseTool):
        def get_openai_tool_schema(self) -> OpenAIFunctionToolSchema:
            return OpenAIFunctionToolSchema.model_validate(CODE_INTERPRETER_SCHEMA)

        async def execute(self, instance_id: str, parameters: dict[str, Any], **_: Any) -> Any:
            return ToolResponse(text="42"), 0.0, {}

    return Instant({"type": "native"}, None)


def loop_makers(folder: Path, turns: int) -> dict[str, Callable[[], Any]]:
    """For each loop a function that makes one as verl's worker does."""
    from omegaconf import OmegaConf
    from transformers import AutoTokenizer
    from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap
    from verl.experimental.agent_loop.tool_agent_loop import ToolAgentLoop
    from verl.utils.dataset.rl_dataset import RLHFDataset

    from recipe.retool.stages.compose import compose_config
    from recipe.retool.tiny.model import save_tiny_model
    from recipe.retool.verl_ext.agent_loop import ReToolAgentLoop

    save_tiny_model(folder, 0)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    lengths = ["data.max_prompt_length=1024", "data.max_response_length=4096"]
    config = compose_config("retool_ppo", ["device=cpu", "model=tiny", *lengths])
    OmegaConf.resolve(config)  # as verl does before it hands it to its workers
    texts = [*(CALL.format(n) for n in range(turns - 1)), ANSWER]
    script = [tokenizer.encode(f"{text}<|im_end|>", add_special_tokens=False) for text in texts]
    tools = [make_tool()]
    engine = Engine(script)

    def maker(loop: type[Any]) -> Callable[[], Any]:
        wraps = DictConfigWrap(config), DictConfigWrap(config.data)
        more = (None, RLHFDataset, wraps[1], "qwen2")
        return lambda: loop(wraps[0], engine, tokenizer, *more, tools=ToolListWrap(tools))

    return {"verl tool_agent": maker(ToolAgentLoop), "retool_agent": maker(ReToolAgentLoop)}


async def seconds_of(make: Callable[[], Any], trajectories: int) -> tuple[float, int]:
    """CPU seconds of all trajectories at once, and the length of the last response."""

    async def one() -> Any:
        return await make().run({}, raw_prompt=PROMPT, tools_kwargs={}, extra_info={})

    started = time.process_time()
    outputs = await asyncio.gather(*(one() for _ in range(trajectories)))
    return time.process_time() - started, len(outputs[-1].response_ids)


def main() -> None:
    """Print the medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trajectories", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    for turns in (1, 2, 4, 8):
        with tempfile.TemporaryDirectory() as folder:
            makers = loop_makers(Path(folder), turns)
            times: dict[str, list[float]] = {name: [] for name in makers}
            for _round in range(args.rounds):
                for name, make in makers.items():  # alternating, so that both meet the same noise
                    spent, tokens = asyncio.run(seconds_of(make, args.trajectories))
                    times[name].append(1e3 * spent / args.trajectories)
        medians = {name: statistics.median(values) for name, values in times.items()}
        words = "  ".join(f"{name} {value:6.2f} ms" for name, value in medians.items())
        ratio = medians["verl tool_agent"] / medians["retool_agent"]
        sys.stdout.write(f"{turns} turns, {tokens:4d} tokens: {words}  ratio {ratio:.2f}\n")


if __name__ == "__main__":
    main()
