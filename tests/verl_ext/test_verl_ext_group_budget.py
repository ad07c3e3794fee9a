"""Dynamic sampling ends, and always with a full batch."""

from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.verl_ext.group_budget import GroupBudget


def sample(budget: GroupBudget, batch: int, signals: st.DataObject) -> tuple[int, int]:
    """verl's loop (evict k, ask for 2k, until the batch is full), every group ended at once."""
    with_signal, without, credit = 0, 0, 0
    fresh, generated = batch, batch
    for _ in range(10_000):
        lucky = signals.draw(st.integers(0, fresh))
        with_signal, without, fresh = with_signal + lucky, without + fresh - lucky, 0
        evicted = budget.evictable(without)
        without, credit = without - evicted, credit + 2 * evicted
        budget.evicted += evicted
        if with_signal + without >= batch:
            return with_signal + without, generated
        asked = min(credit, batch)
        credit -= asked
        fresh = budget.refillable(asked)
        budget.refilled += fresh
        generated += fresh
    raise AssertionError("samples without an end")


@given(st.integers(1, 8), st.integers(2, 5), st.data())
def test_a_step_ends_with_a_full_batch_within_its_limit(
    batch: int, batches: int, data: st.DataObject
) -> None:
    budget = GroupBudget(batches, batch)
    groups, generated = sample(budget, batch, data)
    assert groups >= batch
    assert generated <= batches * batch
    assert budget.generated_batches() == generated / batch


@given(st.integers(1, 50), st.integers(-3, 0))
def test_without_a_limit_everything_is_filtered(groups: int, batches: int) -> None:
    budget = GroupBudget(batches, 4, evicted=1000, refilled=1000)
    assert (budget.evictable(groups), budget.refillable(groups)) == (groups, groups)


def test_a_failed_group_is_replaced_beyond_the_limit() -> None:
    assert GroupBudget(2, 4, evicted=4, refilled=4).refillable(3) == 0
    assert GroupBudget(2, 4, evicted=4, refilled=4, failed=2).refillable(3) == 2


def test_the_next_step_begins_anew() -> None:
    budget = GroupBudget(2, 4, evicted=4, failed=1, refilled=5)
    budget.next_step()
    assert budget == GroupBudget(2, 4)
