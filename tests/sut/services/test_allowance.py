"""Token buckets: a burst, then a rate, each key its own, in a bounded table."""

from hypothesis import given
from hypothesis import strategies as st

from sut.services.api.allowance import Allowance


def test_a_burst_and_then_the_rate() -> None:
    allowance = Allowance(burst=3, per_s=2)
    assert [allowance.take("a", 10.0) for _ in range(5)] == [True, True, True, False, False]
    assert allowance.take("b", 10.0)
    assert not allowance.take("a", 10.4)
    assert [allowance.take("a", 10.6), allowance.take("a", 10.6)] == [True, False]
    assert [allowance.take("a", 99.0) for _ in range(4)] == [True, True, True, False], "never more than a burst"


def test_the_table_is_bounded_and_forgets_who_asked_longest_ago() -> None:
    allowance = Allowance(burst=1, per_s=0, max_buckets=2)
    assert [allowance.take(key, 0.0) for key in ("a", "b", "a", "c")] == [True, True, False, True]
    assert len(allowance) == 2
    assert not allowance.take("a", 0.0), "it asked just now"
    assert allowance.take("b", 0.0), "it was forgotten"


@given(waits=st.lists(st.floats(0, 5), max_size=60))
def test_no_more_than_burst_and_rate_allow(waits: list[float]) -> None:
    allowance = Allowance(burst=4, per_s=0.5)
    now, taken = 0.0, 0
    for wait in waits:
        now += wait
        taken += allowance.take("a", now)
    assert taken <= 4 + now * 0.5 + 1e-6
