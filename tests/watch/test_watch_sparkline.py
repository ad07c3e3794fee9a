"""A line of blocks says what its numbers do."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.retool.watch.sparkline import BLOCKS, PLAIN, sparkline

NUMBERS = st.floats(allow_nan=True, allow_infinity=True)
FINITE = st.floats(-1e6, 1e6)


@given(st.lists(st.one_of(st.none(), NUMBERS), max_size=60), st.integers(0, 40))
def test_it_is_never_longer_than_the_width_nor_than_the_series(
    values: list[float | None], width: int
) -> None:
    line = sparkline(values, width)
    assert len(line) == min(len(values), width)
    assert set(line) <= {*BLOCKS, "·"}


@given(FINITE, st.integers(1, 20))
def test_a_constant_series_is_a_level_line(value: float, count: int) -> None:
    assert sparkline([value] * count, count) == BLOCKS[3] * count


@given(st.lists(FINITE, min_size=2, max_size=30))
def test_blocks_rise_as_the_numbers_do(values: list[float]) -> None:
    levels = [BLOCKS.index(block) for block in sparkline(sorted(values), len(values))]
    assert levels == sorted(levels)


@given(st.lists(FINITE, min_size=2, max_size=30, unique=True))
def test_lowest_and_highest_have_the_ends(values: list[float]) -> None:
    line = sparkline(values, len(values))
    assert line[values.index(max(values))] == BLOCKS[-1]
    assert line[values.index(min(values))] == BLOCKS[0]


@pytest.mark.parametrize("gap", [None, math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_a_dot_and_moves_nothing(gap: float | None) -> None:
    assert sparkline([0.0, gap, 1.0], 3) == f"{BLOCKS[0]}·{BLOCKS[-1]}"


def test_a_long_series_is_averaged_in_groups() -> None:
    assert sparkline([0, 0, 1, 1, 2, 2, 3, 3], 4) == sparkline([0, 1, 2, 3], 4)


def test_no_value_is_no_line() -> None:
    assert sparkline([], 10) == ""


def test_the_range_of_floats_does_not_overflow() -> None:
    assert sparkline([-1.7e308, 1.7e308], 2) == BLOCKS[0] + BLOCKS[-1]


def test_plain_text_has_plain_levels() -> None:
    assert sparkline([0.0, None, 1.0], 3, PLAIN).isascii()
