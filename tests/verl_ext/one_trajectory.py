"""One scripted trajectory through data set, agent loop, tool and reward of the verl that is on the path.

Run as a program by test_verl_ext_both_verls.py: arguments are the stack, a model folder and a parquet file;
the result is a line of JSON.
"""

import asyncio
import json
import os
import sys
from typing import Any

from recipe.retool.sandbox.embedded import EmbeddedSandbox
from recipe.retool.stages.compose import compose_config, resolved
from recipe.retool.verl_ext.loop_maker import dataset_class, loop_maker

CALL = '<tool_call>\n{"name": "code_interpreter", "arguments": {"code": "print(6*7)"}}\n</tool_call>'
UNKNOWN = '<tool_call>\n{"name": "browser", "arguments": {}}\n</tool_call>'
REPLIES = (CALL, UNKNOWN, "The answer is \\boxed{42}.")


class Server:
    """Answers with the scripted replies, token by token as a server would."""

    def __init__(self, tokenizer: Any) -> None:
        self.turns = [tokenizer.encode(f"{text}<|im_end|>", add_special_tokens=False) for text in REPLIES]
        self.prompts: list[list[int]] = []

    async def generate(self, request_id: str, *, prompt_ids: list[int], **_: Any) -> Any:
        from verl.workers.rollout.replica import TokenOutput

        self.prompts.append(list(prompt_ids))
        ids = self.turns[len(self.prompts) - 1]
        return TokenOutput(token_ids=list(ids), log_probs=[-0.5] * len(ids))


async def trajectory(stack: str, config: Any, tokenizer: Any, row: dict[str, Any]) -> dict[str, Any]:
    from verl.trainer.ppo.reward import get_custom_reward_fn

    server = Server(tokenizer)
    loop = loop_maker(config, server, tokenizer, "qwen2")()
    output = await loop.run({}, raw_prompt=row["raw_prompt"], tools_kwargs={}, extra_info={})
    info = dict(output.extra_fields)
    text = tokenizer.decode(output.response_ids, skip_special_tokens=True)
    arguments: dict[str, Any] = {"data_source": "x", "solution_str": text, "ground_truth": "42"}
    if stack == "verl_0_6":  # what verl/experimental/reward/reward_loop/naive.py passes there
        arguments |= {"reward_router_address": None, "reward_model_tokenizer": None}
    else:
        info["num_turns"] = output.num_turns
    score = get_custom_reward_fn(config)(extra_info=info, **arguments)  # type: ignore[misc]
    ids, mask, logs = output.response_ids, output.response_mask, output.response_logprobs
    appends = all(
        later[: len(earlier)] == earlier
        for earlier, later in zip(server.prompts, server.prompts[1:], strict=False)
    )
    return {
        "lengths": [len(ids), len(mask), len(logs)],
        "trained": sum(mask),
        "written": sum(map(len, server.turns)),
        "appends": appends,
        "prompt_shows_tool": "code_interpreter" in tokenizer.decode(server.prompts[0]),
        "tool_text": "42" in text.split("</tool_call>")[1],
        "score": {key: value for key, value in score.items() if key != "tool_seconds"},
    }


def main() -> None:
    stack, model, parquet = sys.argv[1:]
    with EmbeddedSandbox(workers=1) as sandbox:
        os.environ["RETOOL_SANDBOX_URL"] = sandbox.url
        words = [f"stack={stack}", "device=gpu", "model=tiny", "algorithm=dapo"]
        words += [
            f"actor_rollout_ref.model.path={model}",
            "data.max_prompt_length=1024",
            "data.max_response_length=1024",
        ]
        config = compose_config("retool_ppo", words)
        resolved(config)
        from transformers import AutoTokenizer

        # transformers 5, which made this folder, writes a list where 4.57 expects a mapping.
        old: dict[str, Any] = {"extra_special_tokens": {}} if stack == "verl_0_6" else {}
        tokenizer = AutoTokenizer.from_pretrained(model, **old)
        rows = dataset_class(config)([parquet], tokenizer, config.data)
        found = asyncio.run(trajectory(stack, config, tokenizer, rows[0]))
    sys.stdout.write("\n" + json.dumps({"rows": len(rows), **found}) + "\n")


if __name__ == "__main__":
    main()
