"""The wheel and the clock, as pure as they are."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from sut.gateway.timers import MAX_STEP, NEVER, TICK_S, AwakeClock, Wheel, ticks


@dataclass(eq=False)
class Item:
    """Something with a time."""

    due: int = NEVER


def test_the_clock_counts_ticks_and_keeps_the_rest():
    clock = AwakeClock(100.0)
    assert [clock.advance(100.0 + 0.26 * n) for n in range(5)] == [0, 2, 5, 7, 10]
    assert clock.second == 1
    assert clock.stalls == 0


def test_a_pause_is_not_lived_through():
    clock = AwakeClock(100.0)
    assert clock.advance(160.0) == MAX_STEP
    assert clock.stalls == 1
    assert clock.advance(160.0 + TICK_S * 1.5) == MAX_STEP + 1


@given(st.lists(st.floats(0, 3), max_size=30))
def test_the_clock_never_runs_ahead_nor_back(steps):
    clock, now_s, before = AwakeClock(0.0), 0.0, 0
    for step in steps:
        now_s += step
        tick = clock.advance(now_s)
        assert 0 <= tick - before <= MAX_STEP
        assert tick * TICK_S <= now_s + 1e-6
        before = tick


def test_seconds_as_ticks():
    assert [ticks(s) for s in (0.0, 0.1, 1.0, 60.0)] == [1, 1, 10, 600]


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 60)), max_size=30), st.integers(8, 70))
def test_each_item_comes_once_at_its_tick_or_at_the_horizon(puts, horizon):
    wheel = Wheel(horizon)
    expected, got = [], []
    now = 0
    for step, after in puts:
        item = Item()
        wheel.put(item, now + after)
        expected.append((min(max(now + 1, now + after), now + horizon - 1), item))
        now += step
        got += [(due.due, due) for due in wheel.advance(now)]
    got += [(due.due, due) for due in wheel.advance(now + 100)]
    assert sorted(got, key=lambda pair: (pair[0], id(pair[1]))) == sorted(
        expected, key=lambda pair: (pair[0], id(pair[1]))
    )
    assert [tick for tick, _ in got] == sorted(tick for tick, _ in got)


def test_putting_again_moves_and_never_takes_out():
    wheel = Wheel()
    moved, out = Item(), Item()
    for item in (moved, out):
        wheel.put(item, 3)
    wheel.put(moved, 5)
    out.due = NEVER
    assert wheel.advance(4) == []
    assert wheel.advance(10) == [moved]
