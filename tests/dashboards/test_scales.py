"""Axes: values land inside, in order, and the numbers beside the axis are round, few and in the domain."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.report.scales import Linear, linear_from_zero, log_around, nice_step, short

positive = st.floats(min_value=1e-6, max_value=1e12)


@given(positive)
def test_a_step_is_round_and_not_below_what_was_asked(rough: float) -> None:
    step = nice_step(rough)
    assert rough * (1 - 1e-6) <= step <= rough * 5.000001
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert any(math.isclose(mantissa, digit) for digit in (1, 2, 5, 10))


@given(positive)
def test_an_axis_from_zero_holds_the_highest_value_and_wastes_less_than_half(highest: float) -> None:
    axis = linear_from_zero(highest, start=100, stop=0)
    assert axis.high >= highest * (1 - 1e-6)
    assert axis.high <= highest * 2.0000001
    assert axis(0) == 100
    assert axis(axis.high) == 0


@given(positive, positive)
def test_a_log_axis_holds_both_values_and_at_least_a_decade(one: float, other: float) -> None:
    low, high = sorted((one, other))
    axis = log_around(low, high, start=0, stop=100)
    assert axis.low <= low * (1 + 1e-6)
    assert axis.high >= high * (1 - 1e-6)
    assert axis.high / axis.low >= 9.99
    ticks = axis.ticks()
    assert ticks == sorted(ticks)
    assert 1 <= len(ticks) <= 20
    assert all(-1e-6 <= axis(tick) <= 100 + 1e-6 for tick in ticks)


@given(st.floats(-1e6, 1e6), st.floats(0.1, 1e6), st.floats(-1e7, 1e7))
def test_values_outside_a_domain_are_clamped(low: float, width: float, value: float) -> None:
    axis = Linear(low=low, high=low + width, start=10, stop=20)
    assert 10 <= axis(value) <= 20 + 1e-9


@pytest.mark.parametrize("highest", [0.0, -1.0, math.nan, math.inf])
def test_an_axis_without_a_usable_highest_value_is_still_an_axis(highest: float) -> None:
    assert linear_from_zero(highest, start=0, stop=1).high == 1


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.25, "0.25"), (12.34, "12.3"), (950.4, "950"), (12_000, "12,000"), (3_400_000, "3.4M")],
)
def test_numbers_are_short(value: float, text: str) -> None:
    assert short(value) == text
