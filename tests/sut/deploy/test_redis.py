"""Redis under Sentinel and the supervisor: a killed master is replaced, and comes back as a replica."""

import os
import signal
import threading

from sut.adapters.redis import admin as redis_admin
from sut.deploy.probes import health, probe
from sut.deploy.topology import Service, Topology
from tests.kit.waits import wait_until
from tests.sut.deploy.conftest import Workshop

SERVERS = ("redis-1", "redis-2", "sentinel-1", "sentinel-2", "sentinel-3")


def address(service: Service) -> tuple[str, int]:
    return service.host, service.ports["redis"]


def masters(topology: Topology) -> set[str]:
    login = topology.redis_login("operator")
    roles = {service.name: probe.redis_role(address(service), 0.3, login) for service in topology.of_kind("redis")}
    return {name for name, role in roles.items() if role is not None and role.role == "master"}


def test_a_killed_master_is_replaced_and_comes_back_as_a_replica_with_never_two_masters(workshop: Workshop) -> None:
    topology = workshop.topology(*SERVERS)
    system = workshop.boot(topology)
    old, new = topology.of_kind("redis")
    assert masters(topology) == {"redis-1"}
    login = topology.redis_login("operator")
    sentinels = [address(service) for service in topology.of_kind("sentinel")]
    views = [redis_admin.sentinel_view(sentinel, topology.redis_master, 0.5, login) for sentinel in sentinels]
    assert [(view.master, view.replicas, view.sentinels) for view in views] == [(address(old), 1, 2)] * 3

    seen: list[set[str]] = []
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            seen.append(masters(topology))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        os.kill(system.pid("redis-1") or 0, signal.SIGKILL)
        wait_until(lambda: masters(topology) == {"redis-2"})
        assert system.pid("redis-1") is None  # it waits for the failover
        wait_until(lambda: health.problem(topology, old, 0.3) is None and system.problems() == {}, timeout_s=15)
    finally:
        over.set()
        watcher.join()
    assert all(len(now) <= 1 for now in seen)
    role = probe.redis_role(address(old), 0.3, login)
    assert role is not None
    assert (role.role, role.master) == ("slave", address(new))
    system.stop()


def test_probes_of_a_silent_redis_say_none(workshop: Workshop) -> None:
    topology = workshop.topology(*SERVERS)
    where = address(topology.service("redis-1"))
    assert not probe.redis_ping(where, 0.1)
    assert probe.redis_role(where, 0.1) is None
    assert probe.sentinel_view(where, "petrel", 0.1) is None
    assert probe.peer_ping(where, 0.1) is None
    assert probe.http_status(where, "/", 0.1) is None
