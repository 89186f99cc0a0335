"""From a topology to its backends: the directory, the addresses, the links; and what stands beside the registry."""

import contextlib
import signal
from pathlib import Path

import pytest
from msgspec.structs import replace

from sut.adapters.backends import Backends, UnknownBackend
from sut.adapters.cassandra.store import CassandraStore
from sut.adapters.redis import admin as redis_admin
from sut.adapters.redis.cluster.presence import ClusterPresence
from sut.adapters.redis.cluster.registry import ClusterRegistry
from sut.adapters.redis.cluster.revocations import ClusterRevocations
from sut.adapters.redis.counter import RedisCounter
from sut.deploy.topology import Link, Service, Settings, Topology
from sut.ports import Route, Unavailable
from tests.kit.pace import scaled
from tests.kit.waits import Deadline
from tests.sut.adapters.cluster import Way
from tests.sut.adapters.redis_system import HOST, RedisSystem


def topology_of(directory: Path, system: RedisSystem | None = None, **extra: object) -> Topology:
    services = [Service(name="gateway-1", kind="gateway")]
    for index, (_, port) in enumerate(system.nodes if system else []):
        services.append(Service(name=f"redis-{index + 1}", kind="redis", index=index, ports={"redis": port}))
    for index, (_, port) in enumerate(system.sentinels if system else []):
        services.append(Service(name=f"sentinel-{index + 1}", kind="sentinel", index=index, ports={"redis": port}))
    fields = {"run_id": "r", "profile": "embedded", "dir": str(directory), "token_key": "", "api_key": ""} | extra
    return Topology(services=tuple(services), **fields)  # type: ignore[arg-type]


async def test_the_files_are_in_data(tmp_path: Path) -> None:
    topology = topology_of(tmp_path)
    backends = Backends(topology, "chat-1")
    backends.log()
    backends.store()
    await backends.close()
    names = {path.name for path in (tmp_path / "data").glob("*.db")}
    partitions = {f"{kind}-{n:02}.db" for kind in ("log", "store") for n in range(topology.settings.partitions)}
    assert names == partitions | {"offsets.db", "cursors.db", "memberships.db", "receipts.db"}


@pytest.mark.parametrize(("name", "port"), [("paper", "open_log"), ("cassandra", "open_log")])
def test_a_backend_that_is_not_there_or_lacks_the_port_is_one_line(name: str, port: str, tmp_path: Path) -> None:
    backends = Backends(topology_of(tmp_path, log=name), "chat-1")
    with pytest.raises(
        UnknownBackend,
        match=f"^no backend '{name}' with {port}; there are sqlite, kafka, cassandra, redis, redis-cluster$",
    ):
        backends.log()


async def test_the_topology_chooses_the_registry_and_counters_need_one_master(tmp_path: Path) -> None:
    shard = Service(name="shard-1", kind="shard", ports={"redis": 1, "bus": 2})
    topology = replace(topology_of(tmp_path, registry="redis-cluster"), services=(shard,))
    backends = Backends(topology, "gateway-1")
    registry = backends.registry()
    assert isinstance(registry, ClusterRegistry)
    assert isinstance(backends.presence(), ClusterPresence)
    assert isinstance(backends.revocations(registry), ClusterRevocations)
    with pytest.raises(UnknownBackend, match=r"^no backend 'redis-cluster' with open_master; "):
        RedisCounter(topology, "sequencer-1")
    await backends.close()


async def test_all_that_was_opened_is_closed_the_newest_first_whatever_fails(tmp_path: Path) -> None:
    backends = Backends(topology_of(tmp_path), "chat-1")
    log, store = backends.log(), backends.store()
    closed = []

    async def fails() -> None:
        closed.append("store")
        raise OSError("disk")

    async def ends() -> None:
        closed.append("log")

    await log.close()
    await store.close()
    backends._closings = [ends, fails]
    await backends.close()
    await backends.close()
    assert closed == ["store", "log"]


async def test_on_cassandra_only_a_system_that_forgets_notes_what_is_full(tmp_path: Path) -> None:
    node = Service(name="cassandra-1", kind="cassandra", ports={"cql": 1})
    services = (Service(name="sequencer-1", kind="sequencer"), node)
    for days in (0.0, 30.0):
        topology = replace(
            topology_of(tmp_path), services=services, store="cassandra", settings=Settings(retention_days=days)
        )
        store = Backends(topology, "sequencer-1").store()
        assert isinstance(store, CassandraStore)
        assert store._expires == (days > 0)
        await store.close()


async def test_the_registry_is_reached_over_the_links_of_its_node(redis_system: RedisSystem, tmp_path: Path) -> None:
    master = redis_system.master()
    assert master is not None
    async with Way(master) as way:
        name = f"redis-{redis_system.nodes.index(master) + 1}"
        link = Link(source="gateway-1", target=name, port="redis", listen=way.address[1])
        topology = topology_of(tmp_path, redis_system, links=(link,))
        over_link, direct = (Backends(topology, name).registry() for name in ("gateway-1", "gateway-2"))
        await over_link.register([(1, Route(1, "gateway-1", 1, 1, 1))])
        way.hold()
        with pytest.raises(Unavailable):
            await over_link.gateways()
        assert await direct.gateways() == {}
        await over_link.close()
        await direct.close()


async def test_a_counter_counts_each_conversation(redis_system: RedisSystem, tmp_path: Path) -> None:
    counter = RedisCounter(topology_of(tmp_path, redis_system), "sequencer-1")
    assert [await counter.increment(conv) for conv in (5, 5, 6, 5)] == [1, 2, 1, 3]
    await counter.close()


async def next_ticket(counter: RedisCounter) -> int:
    """The first ticket that is on the replica in time; a busy machine may need several, and those are used up."""
    deadline = Deadline(15.0)
    while True:
        with contextlib.suppress(Unavailable):
            return await counter.ticket("all")
        deadline.check()


async def test_a_ticket_is_on_the_replica_or_is_none(breakable_redis: RedisSystem, tmp_path: Path) -> None:
    counter = RedisCounter(topology_of(tmp_path, breakable_redis), "sequencer-1")
    tickets = [await next_ticket(counter) for _ in range(3)]
    assert tickets == sorted(set(tickets))
    breakable_redis.signal(breakable_redis.nodes[1], signal.SIGSTOP)
    with pytest.raises(Unavailable, match=f"no replica has ticket {tickets[-1] + 1}"):
        await counter.ticket("all")
    await counter.close()


def test_redis_as_an_operator_sees_it(redis_system: RedisSystem) -> None:
    master, replica = redis_system.nodes
    redis_admin.ping(master, scaled(0.5))
    assert redis_admin.role(master, scaled(0.5)).replicas == (replica,)
    assert redis_admin.role(replica, scaled(0.5))[:3] == ("slave", master, True)
    view = redis_admin.sentinel_view(redis_system.sentinels[0], redis_system.name, scaled(0.5))
    assert (view.master, view.replicas, view.sentinels) == (master, 1, 2)
    with pytest.raises(Unavailable, match="knows no master"):
        redis_admin.sentinel_view(redis_system.sentinels[0], "nobody", scaled(0.5))
    with pytest.raises(Unavailable):
        redis_admin.ping((HOST, 1), scaled(0.5))
