"""What the engine tells of each request, over the turns of a trajectory; many calls in one turn."""

import asyncio
from types import SimpleNamespace
from typing import Any

from recipe.retool.env.calls import Session, ToolResult
from recipe.retool.env.code_tags import CodeTagsEnv
from recipe.retool.env.episode import Episode
from recipe.retool.env.settings import Masks
from recipe.retool.verl_ext.context_tokens import Merged
from recipe.retool.verl_ext.tool_frame import ToolFrame
from recipe.retool.verl_ext.trajectory import Trajectory

END = 0


class Characters:
    """A tokenizer with a token for each character."""

    eos_token_id = END

    def encode(self, text: str, **_: Any) -> list[int]:
        return [*map(ord, text)]

    def decode(self, ids: list[int], **_: Any) -> str:
        return "".join(map(chr, ids))


class Two:
    async def call(self, arguments: Any, session: Session) -> ToolResult:
        return ToolResult("2", "ok")


def output(*answers: Any) -> Any:
    """A trajectory of which the engine answers so to one request after the other."""
    answered = iter(answers)

    async def generate(**_: Any) -> Any:
        return next(answered)

    loop = SimpleNamespace(
        response_length=1000, tokenizer=Characters(), server_manager=SimpleNamespace(generate=generate)
    )
    builder = SimpleNamespace(build_initial_tokens=lambda *_, **__: [5])
    shop: Any = SimpleNamespace(env=CodeTagsEnv(), masks=Masks(), builder=builder)
    trajectory = Trajectory(loop, shop, Episode({"code_interpreter": Two()}), {})
    asyncio.run(trajectory.play([{"role": "user", "content": "1+1?"}], []))
    return trajectory.output()


def answer(text: str, experts: Any = None, **fields: Any) -> Any:
    ids = [*map(ord, text)]
    return SimpleNamespace(
        token_ids=ids, log_probs=[-1.0] * len(ids), extra_fields=fields, routed_experts=experts
    )


def test_drafts_of_speculative_decoding_are_summed_over_the_turns() -> None:
    made = output(
        answer("<code>1+1</code>", spec_num_draft_tokens=3, max_global_steps=1),
        answer("\\boxed{2}\x00", spec_num_draft_tokens=4, max_global_steps=2),
    )
    assert made.extra_fields["spec_num_draft_tokens"] == 7
    assert made.extra_fields["max_global_steps"] == 2


def test_experts_of_an_earlier_turn_stay_when_a_later_one_tells_none() -> None:
    made = output(answer("<code>1+1</code>", experts=[[1]]), answer("\\boxed{2}\x00"))
    assert made.routed_experts == [[1]]


def test_many_texts_are_not_checked_one_number_after_the_other() -> None:
    asked: list[int] = []

    def merge(before: Any, after: Any, runtime: Any, tools: Any = None) -> Merged:
        asked.append(len(after) - len(before))
        return Merged([*runtime, 7])

    frame = ToolFrame(
        SimpleNamespace(eos_token_id=END), SimpleNamespace(merge_context_tokens=merge), schemas=None
    )
    assert frame.tokens(["x"] * 500) == [7]
    assert asked == [500]
