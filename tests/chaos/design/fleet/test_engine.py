"""The fleet tick by tick: no device is lost, and a storm is as high and as long as arithmetic says."""

import numpy as np
import pytest

from chaos.design.fleet.engine import TICK_S, World, play
from chaos.design.fleet.scenarios import AT_S, SCENARIOS
from chaos.design.fleet.size import RECORDED, Fleet, full_scale

SMALL = Fleet(
    gateways=100, gateway_cores=2.0, connections=100_000, messages_per_s=1000.0, peak=3.0, partitions=8, chat_cores=8.0,
    redis_shards=4.0,
)  # fmt: skip


def world(fleet: Fleet = SMALL, *, fixed_s: float = 0.0) -> World:
    return World(fleet, RECORDED, seed=3, base_ms=np.full(100, 10.0), fixed_s=fixed_s)


def devices(now: World) -> int:
    return int(now.connected.sum()) + now.waiting.total + int(now.dialling.sum())


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_device_is_lost_and_all_come_back(name: str) -> None:
    now = world(fixed_s=SCENARIOS[name].fixed_s)
    step = SCENARIOS[name].begin(now)
    for _ in range(round(SCENARIOS[name].duration_s / TICK_S)):
        step(now)
        now.tick()
        assert devices(now) == SMALL.connections
    away = SMALL.connections - int(now.connected.sum())
    assert away <= (0.001 * SMALL.connections if name == "redis_failover" else 0)


def test_a_calm_fleet_delivers_at_its_base() -> None:
    lines = play(world(), lambda _world: None, 5.0)
    assert lines["offline"].max() == 0
    assert np.median(lines["p50_ms"]) == pytest.approx(10.0, abs=0.5)


def test_a_dead_gateway_takes_its_devices_and_they_dial_others() -> None:
    lines = play(now := world(), SCENARIOS["one_percent"].begin(now), 20.0)
    assert lines["offline"].max() == pytest.approx(1000, rel=0.6), "half of them dial within the first tick"
    assert lines["offline"][-1] == 0


def test_handshakes_take_what_the_cores_allow() -> None:
    """All dial at once, a fixed wait after the death: each gateway works off its queue at cores / cost."""
    fleet = Fleet(**{name: getattr(SMALL, name) for name in SMALL.__struct_fields__} | {"gateway_cores": 0.1})
    now = world(fleet, fixed_s=1.0)
    lines = play(now, SCENARIOS["storm_fixed"].begin(now), 40.0)
    most = fleet.gateways * fleet.gateway_cores / (RECORDED.connect_ms / 1000)
    assert lines["connected_per_s"].max() == pytest.approx(most, rel=0.05)


def test_a_hot_conversation_is_refused_what_its_sequencer_cannot_do() -> None:
    now = world()
    lines = play(now, SCENARIOS["hot_group"].begin(now), 70.0)
    can = 1 / now.partition_work_s
    during = slice(round((AT_S + 5) / TICK_S), round((AT_S + 30) / TICK_S))
    assert lines["refused_per_s"][during].mean() > can
    assert lines["sequencer_queue"].max() < can, "admission keeps the queue below a second"
    assert lines["refused_per_s"][-1] == pytest.approx(0, abs=1)


def test_the_full_scale_is_the_design_pages() -> None:
    fleet = full_scale(RECORDED)
    assert (fleet.gateways, fleet.connections) == (10_000, 500_000_000)
    assert fleet.messages_per_s == pytest.approx(231_000, rel=0.003)
    assert fleet.gateway_cores >= 2
