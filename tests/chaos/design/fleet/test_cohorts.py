"""Devices that wait for their next attempt: none is lost, and the waits are those of a real device."""

import random

import numpy as np
import pytest

from chaos.design.fleet.cohorts import Waiting
from sut.protocol.device.reconnect import Reconnect

TICK_S = 0.1


def waiting(fixed_s: float = 0.0) -> Waiting:
    return Waiting(base_s=0.2, cap_s=5.0, fixed_s=fixed_s, tick_s=TICK_S, rng=np.random.default_rng(1))


def test_each_device_dials_once_within_its_bound() -> None:
    for attempt in range(10):
        cohort = waiting()
        cohort.add(10_000, attempt)
        bound = round(min(5.0, 0.2 * 2**attempt) / TICK_S)
        dials = [int(cohort.dial().sum()) for _ in range(bound)]
        assert sum(dials) == 10_000
        assert cohort.total == 0


def test_the_waits_of_a_cohort_are_those_of_devices() -> None:
    """A thousand devices that are refused for 4 s: as many dial in each second as with the device's own code."""
    seconds = np.zeros(4)
    for device in range(1000):
        waits, at_s = Reconnect(), 0.0
        while (
            at_s := at_s + waits.next_wait_s(random.Random(device * 997 + int(at_s * 1e6)), base_s=0.2, cap_s=5.0)
        ) < 4:
            seconds[int(at_s)] += 1
    found = np.zeros(4)
    cohort = waiting()
    cohort.add(1000, 0)
    for tick in range(40):
        due = cohort.dial()
        found[tick // 10] += due.sum()
        for attempt in np.flatnonzero(due):
            cohort.add(int(due[attempt]), int(attempt) + 1)
    assert found == pytest.approx(seconds, rel=0.15)


def test_without_jitter_all_dial_at_once() -> None:
    cohort = waiting(fixed_s=1.0)
    cohort.add(5000, 3)
    dials = [int(cohort.dial().sum()) for _ in range(10)]
    assert dials == [0] * 9 + [5000]
