"""Flights and rests by conversation: what is overtaken does not count, and the earliest is always known."""

from __future__ import annotations

import math

from sut.protocol.device.retry import Retry


def test_flights_expire_in_the_order_of_their_departure():
    retry = Retry()
    for conv in (3, 1, 2):
        retry.launch(conv, float(conv == 1) + 2.0 if conv != 2 else 4.0)
    assert retry.due() == 2.0
    assert retry.pop_expired(3.0) == [3, 1]
    assert retry.due() == 4.0


def test_a_longer_rest_replaces_a_shorter_one():
    retry = Retry()
    retry.rest(1, 2.0)
    retry.rest(1, 9.0)
    assert retry.due() == 9.0
    assert retry.pop_rested(5.0) == []
    assert retry.pop_rested(9.0) == [1]
    assert retry.due() == math.inf


def test_an_overtaken_rest_does_not_wake_even_before_anybody_asked_what_is_due():
    retry = Retry()
    retry.rest(1, 2.0)
    retry.rest(1, 9.0)
    assert retry.pop_rested(5.0) == []
    assert retry.rests_until(1) == 9.0


def test_what_is_forgotten_or_in_flight_does_not_rest():
    retry = Retry()
    retry.rest(1, 2.0)
    retry.rest(2, 3.0)
    retry.forget(1)
    retry.launch(2, 8.0)
    assert retry.due() == 8.0
    assert retry.pop_rested(5.0) == []
