"""The faults on a Redis Cluster bite and heal on six real nodes, while a registry is in use."""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from chaos.errors import FaultError
from chaos.faults import FAULTS, World
from chaos.faults.proofs.shards import Shards
from chaos.faults.undo import SlotHome, apply
from sut.adapters.backends import Backends
from sut.adapters.redis.cluster import moving
from sut.deploy.machine import place_on_this_machine
from sut.deploy.net.links import Links
from sut.deploy.net.packets import Packets
from sut.deploy.profiles import PROFILES, build
from sut.deploy.supervise.reaper import reap
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import boot
from sut.deploy.topology import Settings
from sut.ports import Route, Unavailable
from tests.chaos.run.test_engine import Running, planned, probe_text
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

GONE = "is gone; ports .* refuse connections"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The shards of the profile, running."""
    with Reservation() as reservation:
        place = place_on_this_machine(
            PROFILES["redis-cluster"], directory=tmp_path_factory.mktemp("cluster"), port=reservation.port,
            settings=Settings(), variant=None, on_progress=lambda _text: None,
        )  # fmt: skip
        whole = build("redis-cluster", place)
        services = tuple(service for service in whole.services if service.kind == "shard")
        topology = msgspec.structs.replace(whole, services=services, links=())
        try:
            system = boot(topology, reservation, on_progress=lambda _text: None, timeout_s=scaled(30))
            yield World(topology=topology, processes=system, links=Links(topology), packets=Packets(topology.run_id))
            system.stop()
        finally:
            reap(topology.run_id, grace_s=0.2)


class Registering(threading.Thread):
    """Renews the lease of a gateway and the routes of many users again and again, as the gateway would."""

    def __init__(self, world: World) -> None:
        super().__init__(daemon=True)
        self._topology = world.topology
        self._end = threading.Event()
        self.done = 0

    def run(self) -> None:
        asyncio.run(self._run())

    def stop(self) -> None:
        self._end.set()
        self.join()

    async def _run(self) -> None:
        backends = Backends(self._topology, "gateway-1")
        registry = backends.registry()
        routes = [(user, Route(user, "gateway-1", 1, user, 10)) for user in range(0, 64 * 300, 64)]
        while not self._end.is_set():
            with contextlib.suppress(Unavailable):
                await registry.lease("gateway-1", 1, 30.0, "ws://one")
                await registry.register(routes)
                self.done += 1
            await asyncio.sleep(0.05)
        await backends.close()


@pytest.fixture(scope="module")
def in_use(cluster: World) -> Iterator[World]:
    """The same, in use."""
    registering = Registering(cluster)
    registering.start()
    wait_until(lambda: registering.done >= 2, timeout_s=20)
    yield cluster
    registering.stop()


@pytest.mark.parametrize(
    ("name", "options", "effect", "health"),
    [
        (
            "redis_cluster_failover",
            {"lag_s": 0.5},
            f"{GONE}; shard-. is master, say it and most nodes; it takes a write",
            "has new pid .*; shard-. is a replica in step; every node says that the cluster is ok",
        ),
        (
            "redis_slot_moved",
            {"halfway_s": 0.5},
            r"all 6 nodes name shard-. for slot \d+; it has [1-9]\d* keys, shard-. 0",
            r"all 6 nodes name shard-. for slot \d+; it has [1-9]\d* keys, shard-. 0; every node says .* ok",
        ),
    ],
)
@pytest.mark.timeout(240)
def test_a_fault_is_proven_held_and_healed(
    in_use: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict[str, float],
    effect: str, health: str,
) -> None:  # fmt: skip
    for time_s in ("effect_timeout_s", "heal_timeout_s", "arm_timeout_s"):
        monkeypatch.setattr(FAULTS[name], time_s, 3 * getattr(FAULTS[name], time_s))
    plan = msgspec.structs.replace(planned(name, "shards", for_s=1.0), options=options)
    lines = Running(in_use, tmp_path, plan).join(scaled(100))
    inject, heal = lines.of("f1", "inject"), lines.of("f1", "heal")
    assert inject.ok, inject.evidence
    assert heal.ok, heal.evidence
    assert probe_text(effect, inject.evidence)
    assert probe_text(health, heal.evidence)


def test_a_move_that_the_harness_left_halfway_is_undone_by_its_step(in_use: World) -> None:
    shards = Shards(in_use.topology)
    source = shards.fullest()
    slot = shards.fullest_slot(source)
    target = next(master for master in shards.masters() if master != source)
    moving.carry(slot, (target.host, target.ports["redis"]), in_use.topology.redis_login("operator"))
    assert not shards.has_slot(slot, target, without=source)
    assert apply([SlotHome(slot, source.name)], in_use) == []
    assert shards.has_slot(slot, source, without=target)


def test_nothing_is_broken_while_a_node_is_away(in_use: World) -> None:
    stopped = in_use.topology.of_kind("shard")[-1]
    in_use.processes.hold(stopped.name)
    pid = in_use.processes.pid(stopped.name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: in_use.processes.pid(stopped.name) is None)
    for name in ("redis_cluster_failover", "redis_slot_moved"):
        with pytest.raises(FaultError, match="shard-"):
            FAULTS[name](in_use, "shards", {}).arm()
    in_use.processes.release(stopped.name)
    wait_until(lambda: bool(Shards(in_use.topology).whole()), timeout_s=30)
