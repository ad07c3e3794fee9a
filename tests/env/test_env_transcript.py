"""Ids, mask and log-probabilities of a trajectory have one length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.env.transcript import Transcript, model_turns

ids = st.lists(st.integers(1, 9), max_size=5)
pieces = st.lists(st.tuples(st.booleans(), ids), max_size=8)


@given(ids, pieces, st.booleans())
def test_every_piece_keeps_the_lengths_equal(prompt: list[int], parts: list, logged: bool) -> None:
    found = Transcript(prompt, 100)
    for by_model, part in parts:
        if by_model:
            logs = [-1.0] * len(part) if logged and (part or found.response_mask) else None
            try:
                found.add_model(part, logs)
            except ValueError:  # the first tokens of a logged transcript were a tool's
                return
        else:
            found.add_tool(part)
        assert len(found.response_ids) == len(found.response_mask) == 100 - found.room
        assert len(found.logprobs) in (0, len(found.response_ids))
    assert found.ids == [*prompt, *(token for _, part in parts for token in part)]
    written = [token for by_model, part in parts if by_model for token in part]
    assert [token for turn in found.turns() for token in turn] == written


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 3), ids)
def test_replaced_tokens_go_from_all_three(written: list[int], replaced: int, added: list[int]) -> None:
    found = Transcript([], 100)
    found.add_model([*written, 0, 0, 0], [-1.0] * (len(written) + 3))
    found.add_tool(added, replaced)
    assert found.response_ids == [*written, *[0] * (3 - replaced), *added]
    assert found.response_mask == [1] * (len(written) + 3 - replaced) + [0] * len(added)
    assert found.logprobs == [-1.0] * (len(written) + 3 - replaced) + [0.0] * len(added)


def test_log_probabilities_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="1 log-probabilities for 2 tokens"):
        Transcript([], 9).add_model([1, 2], [-1.0])


@pytest.mark.parametrize(("first", "then"), [([-1.0], None), (None, [-1.0])])
def test_log_probabilities_of_some_turns_only_are_refused(first: list | None, then: list | None) -> None:
    found = Transcript([], 9)
    found.add_model([1], first)
    with pytest.raises(ValueError, match="some turns only"):
        found.add_model([1], then)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1)), max_size=20))
def test_turns_are_the_runs_of_the_mask(tokens: list[tuple[int, int]]) -> None:
    turns = model_turns([t for t, _ in tokens], [m for _, m in tokens])
    assert [token for turn in turns for token in turn] == [t for t, m in tokens if m]
    assert len(turns) == sum(m and (n == 0 or not tokens[n - 1][1]) for n, (_, m) in enumerate(tokens))
