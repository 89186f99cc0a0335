"""Second by second: what is counted adds up to what happened, however it is cut into buckets."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.verdict.history.history import History
from chaos.verdict.relations.facts import facts_of
from dashboards.report.series import MAX_BUCKETS, Grid, grid_over, latency, online, rates
from tests.dashboards.made_up import SECOND, START_NS, Trouble, frame, made_up_history

TROUBLE = Trouble(name="gateway_kill", target="gateway-1", at_s=20.0, for_s=5.0)


def grid_of(history: History) -> Grid:
    return grid_over(origin_ns=history.start_ns, first_ns=history.start_ns, last_ns=history.end_ns)


@given(first=st.integers(-(10**13), 10**13), length=st.integers(0, 10**14))
def test_a_grid_holds_both_ends_in_a_bounded_number_of_buckets(first: int, length: int) -> None:
    grid = grid_over(origin_ns=START_NS, first_ns=START_NS + first, last_ns=START_NS + first + length)
    assert 1 <= grid.buckets <= MAX_BUCKETS
    assert grid.start_s <= first / SECOND
    assert grid.stop_s >= (first + length) / SECOND
    assert grid.step_s == int(grid.step_s)


def test_rates_add_up_to_the_events() -> None:
    history = made_up_history(messages=3000)
    grid = grid_of(history)
    counted = rates(history.events, grid, ("send", "ack", "show"))
    assert sum(value or 0 for value in counted["send"]) * grid.step_s == pytest.approx(3000, abs=0.1)
    assert sum(value or 0 for value in counted["show"]) * grid.step_s == pytest.approx(9000, abs=0.1)


def test_latency_stands_where_the_messages_were_due() -> None:
    history = made_up_history(messages=6000, troubles=(TROUBLE,))
    found = latency(facts_of(history).samples, grid_of(history))
    calm, slow = found.p99[10], found.p99[22]
    assert calm is not None
    assert slow is not None
    assert slow > 5 * calm
    for p50, p99, highest in zip(found.p50, found.p99, found.highest, strict=True):
        if p50 is not None and p99 is not None and highest is not None:
            assert 0 < p50 <= p99 <= highest
    assert found.p50[-1] is None  # nothing was due any more
    assert found.extremes is not None
    exact = facts_of(history).samples["latency_ns"].max()
    assert isinstance(exact, int)
    assert found.extremes[1] == pytest.approx(exact / 1e6, abs=0.001)


def test_devices_online_follow_the_connections() -> None:
    history = made_up_history(messages=100, devices=30, troubles=(TROUBLE,))
    levels = online(history.events, grid_of(history))
    assert levels[0] == 30
    assert levels[22] == 20
    assert levels[-1] == 30


def test_a_state_reported_twice_counts_once() -> None:
    t = np.array([0, 1, 2, 3]) * SECOND + START_NS
    device = np.array([1, 1, 2, 1])
    events = pl.concat([frame("online", t=t[:3], device=device[:3]), frame("offline", t=t[3:], device=device[3:])])
    history = History(events=events)
    assert online(events, grid_of(history)) == [1, 1, 2, 1]


def test_nothing_gives_nothing() -> None:
    history = History(events=made_up_history(messages=1).events.clear())
    grid = grid_of(history)
    assert latency(facts_of(history).samples, grid).extremes is None
    assert rates(history.events, grid, ("send",)) == {"send": [0.0]}
    assert online(history.events, grid) == [0.0]
