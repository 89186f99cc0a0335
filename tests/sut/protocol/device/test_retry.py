"""Flights and rests by conversation: what is overtaken does not count, and the earliest is always known."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest

from sut.protocol.device.context import GROWTH, MAX_SLOW, Context
from sut.protocol.device.events import ClientSettings
from sut.protocol.device.retry import Retry


def make(timeout_s: float = 2.0) -> tuple[Context, Retry]:
    context = Context(user=1, device=1, rng=random.Random(1), settings=ClientSettings())
    return context, Retry(timeout_s, context)


def test_flights_expire_in_the_order_of_their_departure():
    context, retry = make()
    for conv, now in ((3, 0.0), (1, 1.0), (2, 2.0)):
        retry.launch(conv, now)
    assert retry.due() == 2.0
    assert retry.pop_expired(3.0) == [3, 1]
    assert retry.due() == 2.0 + 2.0 * context.slow


def test_a_slow_service_is_asked_again_later_and_later_up_to_a_bound():
    _, retry = make()
    now, waits = 0.0, []
    for _ in range(8):
        retry.launch(1, now)
        waits.append(retry.due() - now)
        now = retry.due()
        assert retry.pop_expired(now) == [1]
    assert waits[0] == 2.0
    most_s = pytest.approx(2.0 * MAX_SLOW)
    assert all(wait > (GROWTH[0] - 0.01) * before or wait == most_s for before, wait in pairwise(waits)), waits
    assert waits[-1] == most_s


def test_requests_that_left_together_slow_the_next_ones_once():
    context, retry = make()
    for conv in range(8):
        retry.launch(conv, 0.0)
    assert len(retry.pop_expired(2.0)) == 8
    assert context.slow <= GROWTH[1]


def test_answers_in_time_bring_the_limit_back_also_for_what_is_in_flight():
    context, retry = make()
    for now in (0.0, 20.0, 40.0, 60.0, 80.0, 100.0):
        retry.launch(1, now)
        retry.pop_expired(now + 20.0)
    assert context.slow == MAX_SLOW
    retry.launch(2, 200.0)
    assert retry.due() == 200.0 + 2.0 * MAX_SLOW
    for _ in range(4):
        retry.launch(1, 200.0)
        retry.measure(1, 200.1)
        retry.answered(1, 200.1)
    assert context.slow == 1.0
    assert retry.due() == 202.0


def test_an_answer_that_took_long_keeps_the_limit_above_what_it_took():
    context, retry = make()
    retry.launch(1, 0.0)
    retry.pop_expired(2.0)
    context.slow = MAX_SLOW
    retry.launch(1, 2.0)
    retry.measure(1, 5.0)
    assert context.limit_s(2.0) == 6.0


def test_a_longer_rest_replaces_a_shorter_one():
    _, retry = make()
    retry.rest(1, 2.0)
    retry.rest(1, 9.0)
    assert retry.due() == 9.0
    assert retry.pop_rested(5.0) == []
    assert retry.pop_rested(9.0) == [1]
    assert retry.due() == math.inf


def test_an_overtaken_rest_does_not_wake_even_before_anybody_asked_what_is_due():
    _, retry = make()
    retry.rest(1, 2.0)
    retry.rest(1, 9.0)
    assert retry.pop_rested(5.0) == []
    assert retry.rests_until(1) == 9.0


def test_what_is_forgotten_or_in_flight_does_not_rest():
    _, retry = make()
    retry.rest(1, 2.0)
    retry.rest(2, 3.0)
    retry.forget(1)
    retry.launch(2, 6.0)
    assert retry.due() == 8.0
    assert retry.pop_rested(5.0) == []
