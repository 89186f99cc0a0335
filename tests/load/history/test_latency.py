"""The histogram against exact quantiles, and its algebra."""

import math

from hypothesis import given
from hypothesis import strategies as st

from load.history.latency import BUCKETS, MAX_US, Histogram, bucket_of, middle_of

times_us = st.integers(0, MAX_US)


def filled(values_us: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values_us:
        histogram.add_ns(value * 1000)
    return histogram


@given(times_us)
def test_a_bucket_stands_for_its_times_within_two_percent(us: int) -> None:
    bucket = bucket_of(us)
    assert 0 <= bucket < BUCKETS
    assert bucket_of(middle_of(bucket)) == bucket
    assert abs(middle_of(bucket) - us) <= 0.02 * us


def test_buckets_are_all_used_and_rise() -> None:
    middles = [middle_of(bucket) for bucket in range(BUCKETS)]
    assert middles == sorted(set(middles))
    assert [bucket_of(us) for us in (0, 63, 64, 65, 66, MAX_US, MAX_US + 1, -5)] == [
        0, 63, 64, 64, 65, BUCKETS - 1, BUCKETS - 1, 0,
    ]  # fmt: skip


@given(st.lists(times_us, min_size=1, max_size=300), st.floats(0, 100))
def test_percentiles_are_the_exact_ones_within_two_percent(values: list[int], percent: float) -> None:
    exact = sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]
    assert abs(filled(values).percentile_ms(percent) * 1000 - exact) <= 0.02 * exact + 1e-6


@given(st.lists(times_us), st.lists(times_us))
def test_merging_is_counting_together(first: list[int], second: list[int]) -> None:
    merged = filled(first)
    merged.merge(Histogram.load(filled(second).export()))
    assert merged.export() == filled(first + second).export()
    assert merged.count == len(first) + len(second)


def test_the_maximum_is_exact_and_no_percentile_exceeds_it() -> None:
    histogram = filled([1_000_003])
    assert histogram.percentile_ms(50) == histogram.percentile_ms(100) == 1000.003
    assert filled([2 * MAX_US]).percentile_ms(100) == 2 * MAX_US / 1000
    assert Histogram().percentile_ms(99) == 0
