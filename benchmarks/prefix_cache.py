"""What vLLM's prefix cache spares between the turns of a trajectory: tokens taken from the cache, and time.

A tiny random model writes a few tokens a turn, a made-up tool answers, and the whole trajectory goes back to
the engine, token for token, as the agent loop does it. ``--groups`` prompts are sampled ``--n`` times each.
vLLM tells of each request how many of its prompt tokens came from the cache. Needs vLLM; runs on a CPU:

    VLLM_CPU_KVCACHE_SPACE=1 python benchmarks/prefix_cache.py
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from recipe.retool.env.transcript import Transcript
from recipe.retool.tiny.model import save_tiny_model

WRITTEN, ANSWERED = 32, 24  # tokens of a model turn and of a tool turn
LENGTH = 2048


def engine(model: str, cached: bool) -> Any:
    """A vLLM engine in this process."""
    from vllm import LLM

    return LLM(
        model, dtype="float32", enforce_eager=True, max_model_len=LENGTH, max_num_seqs=64, block_size=32,
        enable_prefix_caching=cached, disable_log_stats=False, seed=0,
    )  # fmt: skip


def play(llm: Any, prompts: list[list[int]], turns: int) -> tuple[list[float], list[float]]:
    """Play all trajectories turn by turn.

    Returns:
        For each turn the share of prompt tokens from the cache, and its seconds.
    """
    from vllm import SamplingParams

    tool = random.Random(1)
    transcripts = [Transcript(list(prompt), LENGTH) for prompt in prompts]
    sampling = SamplingParams(max_tokens=WRITTEN, min_tokens=WRITTEN, detokenize=False)
    shares, seconds = [], []
    for _ in range(turns):
        given = [{"prompt_token_ids": transcript.ids} for transcript in transcripts]
        started = time.perf_counter()
        outputs = llm.generate(given, sampling, use_tqdm=False)
        seconds.append(time.perf_counter() - started)
        hits = sum(output.num_cached_tokens or 0 for output in outputs)
        shares.append(hits / sum(len(one["prompt_token_ids"]) for one in given))
        for transcript, output in zip(transcripts, outputs, strict=True):
            transcript.add_model(output.outputs[0].token_ids, None)
            transcript.add_tool([tool.randrange(10, 300) for _ in range(ANSWERED)])
    return shares, seconds


def main() -> None:
    """Print shares and times, with and without the cache."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=6)
    parser.add_argument("--groups", type=int, default=4)
    parser.add_argument("--n", type=int, default=8, help="samples of each prompt")
    parser.add_argument("--prompt", type=int, default=400, help="tokens of a prompt")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as model:
        save_tiny_model(Path(model), 0)
        found = {}
        for cached in (True, False):
            rng = random.Random(0)
            distinct = [[rng.randrange(10, 300) for _ in range(args.prompt)] for _ in range(args.groups)]
            prompts = [prompt for prompt in distinct for _ in range(args.n)]
            llm = engine(model, cached)
            play(llm, [[rng.randrange(10, 300) for _ in range(64)]] * 4, 2)  # warm up
            found[cached] = play(llm, prompts, args.turns)
            del llm
    for turn in range(args.turns):
        share, with_it, without = found[True][0][turn], found[True][1][turn], found[False][1][turn]
        sys.stdout.write(
            f"turn {turn + 1}: {share:6.1%} of the prompt tokens from the cache; "
            f"{with_it:.2f} s, without {without:.2f} s, ratio {without / with_it:.2f}\n"
        )
    total = sum(found[False][1]) / sum(found[True][1])
    sys.stdout.write(f"all turns: without the cache {total:.2f} times the seconds\n")


if __name__ == "__main__":
    main()
