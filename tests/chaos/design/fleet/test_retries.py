"""Repeats after an outage: where the storm stays, and where it ends."""

import math

import pytest

from chaos.design.fleet import retries
from chaos.design.fleet.retries import HIGHEST, Rules, repeats_s, run, threshold


def test_without_repeats_a_backlog_is_worked_off_as_arithmetic_says() -> None:
    """At load 0.5, 10 s of outage are 5 s of work, worked off at 0.5 a second. So 8 s later less than 1 s is left."""
    storm = run(0.5, 10.0, Rules(ack_timeout_s=1000.0))
    assert not storm.stays
    assert storm.highest_wait_s == pytest.approx(5.0, abs=0.2)
    assert storm.ended_after_s == pytest.approx(8.0, abs=0.3)


def test_repeats_follow_the_time_limit_and_a_backoff() -> None:
    times = repeats_s(Rules())
    assert times[0] == 2.0
    assert times[1] == pytest.approx(2.0 + 2.0 + 0.1)
    assert times[-1] < 60.0
    assert times == sorted(times)


def test_the_longer_the_outage_the_lower_the_load_whose_storm_stays() -> None:
    found = [threshold(away_s, Rules()) for away_s in (2.0, 5.0, 10.0)]
    assert found == sorted(found, reverse=True)
    assert 0.1 < found[-1] < found[0] < HIGHEST


@pytest.mark.parametrize("away_s", [5.0, 10.0])
def test_the_threshold_separates(away_s: float) -> None:
    load = threshold(away_s, Rules())
    assert run(load, away_s, Rules()).stays
    assert not run(load - 0.02, away_s, Rules()).stays


def test_with_admission_no_storm_stays_after_ten_seconds() -> None:
    assert threshold(10.0, Rules(admission=True)) == math.inf
    assert run(0.5, 10.0, Rules()).stays
    refused = run(0.5, 10.0, Rules(admission=True))
    assert refused.ended_after_s is not None
    assert refused.highest_wait_s < 2 * retries.ADMITTED_S


def test_a_storm_that_stays_answers_nothing_new_in_time() -> None:
    storm = run(0.9, 10.0, Rules())
    assert storm.ended_after_s is None
    assert storm.wait_s[-1] > storm.wait_s[40] > 1.0
