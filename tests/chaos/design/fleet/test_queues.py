"""The queues: waits as queueing theory has them, where it has a formula."""

import numpy as np
import pytest

from chaos.design.fleet.queues import Visit, waits_s

RNG_SEED = 5


def mean_s(visits: list[Visit], cores: list[float], rate_per_s: float, messages: int = 60_000) -> float:
    rng = np.random.default_rng(RNG_SEED)
    return float(waits_s(visits, cores, rate_per_s=rate_per_s, messages=messages, rng=rng).mean())


@pytest.mark.parametrize("load", [0.2, 0.5, 0.8])
def test_one_server(load: float) -> None:
    """M/M/1: the mean stay is work / (1 - load)."""
    assert mean_s([Visit((0,), 0.001)], [1.0], load * 1000) == pytest.approx(0.001 / (1 - load), rel=0.1)


def test_two_servers() -> None:
    """M/M/2 at load 0.8: the mean stay is work / (1 - load^2)."""
    assert mean_s([Visit((0,), 0.001)], [2.0], 1600) == pytest.approx(0.001 / (1 - 0.64), rel=0.1)


def test_a_fraction_of_a_core_is_a_slower_one() -> None:
    assert mean_s([Visit((0,), 0.001)], [0.5], 1.0, 5000) == pytest.approx(0.002, rel=0.1)


def test_stays_add_up_and_places_share_the_load() -> None:
    """Two stages of M/M/1 queues; the second has two places, each with half of the arrivals."""
    found = mean_s([Visit((0,), 0.001), Visit((1, 2), 0.001)], [1.0, 1.0, 1.0], 500)
    assert found == pytest.approx(0.001 / 0.5 + 0.001 / 0.75, rel=0.1)
