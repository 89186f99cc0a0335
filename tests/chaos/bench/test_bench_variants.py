"""The benches of the two designs that are only dear: real systems side by side, and the arithmetic."""

import random
from pathlib import Path

import pytest

from chaos.bench import benches
from chaos.bench import counter as bench_counter
from chaos.bench import reconnect as bench_reconnect
from chaos.errors import HarnessError, UsageError
from load.bench.crowd import Measured
from load.bench.rush import Buckets
from sut.protocol.device.events import ClientSettings
from sut.protocol.device.reconnect import Reconnect
from sut.variants.fixed_reconnect import WAIT_S
from tests.chaos.bench.test_benches import bench


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_one_counter_for_all_lets_fewer_messages_through(tmp_path: Path) -> None:
    (row,) = bench("counter", tmp_path / "out", "--points", "48", "--duration", "4")
    assert (row["usual: missing"], row["global_counter: missing"]) == (0, 0)
    assert row["messages/s, ratio"] < 0.9, row


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_fixed_wait_brings_more_at_once_than_jitter(tmp_path: Path) -> None:
    (row,) = bench("reconnect", tmp_path / "out", "--points", "400")
    assert (row["jitter: not back"], row["fixed: not back"]) == (0, 0)
    assert row["dials in 100 ms, ratio"] > 1.5, row


def test_without_a_machine_between_a_fixed_wait_brings_all_at_once_and_jitter_few() -> None:
    """A thousand devices are cut off together, and their gateways are back after three seconds."""
    settings = ClientSettings()

    def peak(fixed_s: float) -> int:
        rng, dials = random.Random(1), Buckets()
        for _ in range(1000):
            waits, at_s = Reconnect(fixed_s), 0.0
            while at_s < bench_reconnect.AWAY_S:
                at_s += waits.next_wait_s(rng, base_s=settings.reconnect_base_s, cap_s=settings.reconnect_cap_s)
            dials.add(at_s)
        return dials.peak

    assert peak(WAIT_S) == 1000
    assert peak(0.0) < 100


def test_a_row_of_the_counter_compares_what_went_through_and_how_long_it_took() -> None:
    usual = [Measured(messages=100, p50_ms=10), Measured(messages=300, p50_ms=20)]
    counted = [Measured(messages=50, p50_ms=60), Measured(messages=50, p50_ms=60, missing=1)]
    row = bench_counter.row(8, usual, counted, duration_s=2.0)
    assert (row["senders"], row["usual: messages/s"], row["global_counter: messages/s"]) == (8, 100, 25)
    assert (row["messages/s, ratio"], row["p50, ratio"], row["global_counter: missing"]) == (0.25, 4, 1)
    with pytest.raises(HarnessError):
        bench_counter.row(8, usual, [Measured(), Measured()], duration_s=2.0)


def test_a_row_of_the_reconnects_compares_the_peaks() -> None:
    jittered = Measured(dials_peak=10, handshakes_peak=20, caught_up_max_s=9, back_from_s=4)
    row = bench_reconnect.row(100, jittered, Measured(dials_peak=100, handshakes_peak=90, missing=2))
    assert (row["dials in 100 ms, ratio"], row["handshakes in 100 ms, ratio"]) == (10, 4.5)
    assert (row["jitter: from first to last s"], row["fixed: not back"]) == (5, 2)
    with pytest.raises(HarnessError):
        bench_reconnect.row(100, jittered, Measured())


@pytest.mark.parametrize("name", ["counter", "reconnect"])
def test_what_compares_takes_no_variant(name: str, tmp_path: Path) -> None:
    def say(_text: str) -> None:
        pass

    request = benches.Request(directory=tmp_path, variant="redis_incr", duration_s=None, points=(), say=say)
    with pytest.raises(UsageError, match="has its own variant"):
        benches.find(name).run(request)


def test_the_fullest_tenth_of_a_second() -> None:
    buckets = Buckets()
    for at_s in (1.01, 1.05, 1.09, 1.11, 7.0):
        buckets.add(at_s)
    assert buckets.peak == 3
    assert Buckets().peak == 0
