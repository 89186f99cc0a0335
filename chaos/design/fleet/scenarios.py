"""What happens to the fleet, one function a scenario: each says when something breaks and when it is mended."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import numpy as np

from chaos.design.fleet.engine import TICK_S, Step, World

AT_S: Final = 10.0
"""The time of the first change in each scenario."""
RESTART_S: Final = 3.0
"""Seconds until a killed gateway is back."""
FIXED_S: Final = 1.0
"""The wait of devices that do not jitter (the variant fixed_reconnect)."""
HOT_FACTOR: Final = 3.0
DRAIN_S: Final = 10.0
"""The base that a draining gateway gives its devices in a fleet of this size."""
FLAPPING: Final = 2e-4
"""The share of the connections that ends in a second, where a scenario needs some: 100,000 of 500 million."""
DEPLOY_SHARE: Final = 0.05
DEPLOY_EVERY_S: Final = 15.0


class Scenario(NamedTuple):
    """One scenario: `begin` returns what to do before each tick of a world."""

    summary: str
    duration_s: float
    begin: Callable[[World], Step]
    fixed_s: float = 0.0
    """The wait before each attempt to connect; 0: full jitter."""


def _loss(share: float) -> Callable[[World], Step]:
    """Kill that share of the gateways at once, at least one; they are back RESTART_S later."""

    def begin(world: World) -> Step:
        count = max(1, round(share * world.fleet.gateways))
        gone = world.rng.choice(world.fleet.gateways, count, replace=False)
        return _timed((AT_S, lambda: world.kill(gone)), (AT_S + RESTART_S, lambda: world.start(gone)))

    return begin


def _deploy(world: World) -> Step:
    batches = np.array_split(np.arange(world.fleet.gateways), math.ceil(1 / DEPLOY_SHARE))
    changes: list[tuple[float, Callable[[], None]]] = []
    for number, batch in enumerate(batches):
        if not batch.size:
            continue
        at_s = AT_S + number * DEPLOY_EVERY_S
        changes += [
            (at_s, partial(world.drain, batch, DRAIN_S)),
            (at_s + RESTART_S, partial(world.start, batch)),
        ]
    return _timed(*changes)


def _failover(world: World) -> Step:
    """No master answers for 10 s, while devices come and go. Then gateways write all routes again."""

    def heal() -> None:
        world.redis = 1.0
        world.registering += float(world.connected.sum())

    timed = _timed((AT_S, lambda: _set(world, "redis", 0.0)), (AT_S + 10.0, heal))
    flapping = round(FLAPPING * world.fleet.connections * TICK_S)

    def step(now: World) -> None:
        timed(now)
        now.flap(flapping)

    return step


def _hot_group(world: World) -> Step:
    """A group in which so much is written that its sequencer has HOT_FACTOR times what it can do."""
    hot = HOT_FACTOR / world.partition_work_s
    return _timed((AT_S, lambda: _set(world, "hot_per_s", hot)), (AT_S + 30.0, lambda: _set(world, "hot_per_s", 0.0)))


def _new_year(world: World) -> Step:
    """Ten times the average for a minute, with a rise of ten seconds."""

    def step(world: World) -> None:
        since_s = world.now_s - AT_S
        world.rate = 1.0 + 9.0 * min(max(since_s / 10, 0.0), 1.0) if since_s < 70.0 else 1.0

    return step


def _partition(world: World) -> Step:
    """A third of the gateways is cut off for 30 s: its devices notice, and dial the others."""
    cut = np.arange(world.fleet.gateways // 3)
    return _timed((AT_S, lambda: world.kill(cut)), (AT_S + 30.0, lambda: world.start(cut)))


def _set(world: World, name: str, value: float) -> None:
    setattr(world, name, value)


def _timed(*changes: tuple[float, Callable[[], None]]) -> Step:
    """Return a step that makes each change once, when its time has come."""
    pending = sorted(changes, key=lambda change: change[0])

    def step(world: World) -> None:
        while pending and world.now_s >= pending[0][0] - 1e-9:
            pending.pop(0)[1]()

    return step


SCENARIOS: Final[dict[str, Scenario]] = {
    "gateway_loss": Scenario("one gateway dies and is back in 3 s", 40.0, _loss(0.0)),
    "one_percent": Scenario("1% of the gateways die at once", 40.0, _loss(0.01)),
    "ten_percent": Scenario("10% of the gateways die at once", 60.0, _loss(0.1)),
    "rolling_deploy": Scenario("all gateways are replaced, 5% at a time, drained first", 340.0, _deploy),
    "storm_jitter": Scenario("all gateways die at once; devices come back with full jitter", 180.0, _loss(1.0)),
    "storm_fixed": Scenario("all gateways die at once; devices come back after 1 s each time", 180.0, _loss(1.0),
                            FIXED_S),
    "redis_failover": Scenario("no master of Redis answers for 10 s", 60.0, _failover),
    "hot_group": Scenario("one conversation asks three times what its sequencer can do, for 30 s", 70.0, _hot_group),
    "new_year": Scenario("ten times the average for a minute", 120.0, _new_year),
    "region_partition": Scenario("a third of the gateways is cut off for 30 s", 120.0, _partition),
}  # fmt: skip
