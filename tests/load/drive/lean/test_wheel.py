"""The wheel of alarms."""

import math
import random

from load.drive.lean.wheel import TICK_S, Wheel


def test_an_alarm_comes_once_and_not_before_its_time() -> None:
    wheel = Wheel(3)
    wheel.set(0, 5.0)
    wheel.set(1, 2.0)
    assert wheel.next_s == 2.0
    assert wheel.pop(1.9, 10) == []
    assert wheel.pop(2.0, 10) == [1]
    assert wheel.pop(9.0, 10) == [0]
    assert wheel.pop(99.0, 10) == []
    assert wheel.next_s == math.inf


def test_an_alarm_that_moved_comes_at_its_new_time_only() -> None:
    wheel = Wheel(2)
    wheel.set(0, 5.0)
    wheel.set(0, 3.0)
    wheel.set(0, 5.0)
    assert wheel.pop(4.0, 10) == []
    assert wheel.pop(5.0, 10) == [0]
    wheel.set(1, 6.0)
    wheel.set(1, math.inf)
    assert wheel.pop(7.0, 10) == []
    wheel.set(1, 9.0)
    wheel.earlier(1, 10.0)
    wheel.earlier(1, 8.0)
    assert wheel.pop(8.0, 10) == [1]


def test_a_limit_leaves_the_rest_for_the_next_look() -> None:
    wheel = Wheel(10)
    for row in range(10):
        wheel.set(row, 1.0)
    first, second = wheel.pop(1.0, 7), wheel.pop(1.0, 7)
    assert (len(first), len(second)) == (7, 3)
    assert sorted(first + second) == list(range(10))


def test_random_alarms_come_like_those_of_a_sorted_list() -> None:
    rng, wheel, at = random.Random(1), Wheel(50), dict.fromkeys(range(50), math.inf)
    now = 0.0
    for _ in range(5000):
        row = rng.randrange(50)
        at[row] = now + rng.random() * 3 if rng.random() < 0.9 else math.inf
        wheel.set(row, at[row])
        now += rng.random() * 0.02
        for row in wheel.pop(now, 4):
            assert at[row] <= now
            at[row] = math.inf
        assert all(when > now - 0.2 for when in at.values() if when != math.inf)
    while wheel.next_s != math.inf:
        now = max(now, wheel.next_s)
        for row in wheel.pop(now, 4):
            assert now - TICK_S - 1e-6 <= at[row] <= now or at[row] < now
            at[row] = math.inf
    assert set(at.values()) == {math.inf}
