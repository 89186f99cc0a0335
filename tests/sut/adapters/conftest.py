"""Backends for the contract suites, and coroutine tests.

A contract suite asks for `make_log`, `make_store`, `make_registry` or `make_revocations`; each is parametrised by
backend, so a further backend is a further parameter here and nothing there.
"""

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from sut.adapters.redis.cluster.presence import ClusterPresence
from sut.adapters.redis.cluster.registry import ClusterRegistry
from sut.adapters.redis.cluster.revocations import ClusterRevocations
from sut.adapters.redis.presence import RedisPresence
from sut.adapters.redis.registry import RedisRegistry
from sut.adapters.redis.revocations import RedisRevocations
from sut.adapters.sqlite.devices import SqliteDevices
from sut.adapters.sqlite.keys import SqliteKeys
from sut.adapters.sqlite.log import SqliteLog
from sut.adapters.sqlite.store import SqliteStore
from sut.ports import Devices, KeyStore, MessageLog, MessageStore, Presence, Registry, Revocations
from tests.kit.pace import scaled
from tests.sut.adapters.cassandra_system import CassandraSystem
from tests.sut.adapters.cassandra_system import missing as cassandra_missing
from tests.sut.adapters.cluster import opened
from tests.sut.adapters.kafka_system import KafkaSystem
from tests.sut.adapters.kafka_system import missing as kafka_system_missing
from tests.sut.adapters.redis_system import RedisSystem
from tests.sut.adapters.shard_system import ShardSystem

PARTITIONS = 4
STORES = ["sqlite", pytest.param("cassandra", marks=pytest.mark.slow)]
REGISTRIES = ["redis", "redis-cluster"]
SERVERS = ("cassandra", "kafka")
_running = {server: contextlib.ExitStack() for server in SERVERS}
Opened = contextlib.AbstractAsyncContextManager


def servers_of(item: pytest.Item | None) -> frozenset[str]:
    """The clusters that a test of this directory needs."""
    if item is None or not item.path.is_relative_to(Path(__file__).parent):
        return frozenset()
    asked = {*getattr(item, "fixturenames", ()), *(f"{v}_system" for v in _parameters(item) if isinstance(v, str))}
    return frozenset(server for server in SERVERS if f"{server}_system" in asked)


def _parameters(item: pytest.Item) -> list[object]:
    spec = getattr(item, "callspec", None)
    return list(spec.params.values()) if spec is not None else []


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need a cluster come together: first Cassandra, then both, then Kafka, then all others.

    They belong to `make test-cluster`, which starts each cluster once for all of them.
    """
    ranks = [frozenset({"cassandra"}), frozenset(SERVERS), frozenset({"kafka"}), frozenset()]
    places = [index for index, item in enumerate(items) if item.path.is_relative_to(Path(__file__).parent)]
    for item in filter(servers_of, items):
        item.add_marker(pytest.mark.cluster)
    ordered = sorted((items[index] for index in places), key=lambda item: ranks.index(servers_of(item)))
    for index, item in zip(places, ordered, strict=True):
        items[index] = item


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """With the last test that needs it a cluster ends: the tests after it have the machine for themselves."""
    for server in servers_of(item) - servers_of(nextitem):
        _running[server].close()


@pytest.fixture(scope="session")
def kafka_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaSystem]:
    """Three Kafka nodes, until the last test that needs them is done. Who breaks them heals them."""
    if reason := kafka_system_missing():
        pytest.skip(reason)
    yield _running["kafka"].enter_context(KafkaSystem(tmp_path_factory.mktemp("kafka")))
    _running["kafka"].close()


@pytest.fixture(params=["sqlite", "kafka"])
def make_log(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Opened[MessageLog]]:
    """Opens the same log each time: what one process after, or beside, another would see."""
    if request.param == "kafka":
        system: KafkaSystem = request.getfixturevalue("kafka_system")
        return partial(system.log, system.new_topic(), deadline_s=scaled(5.0))
    return partial(opened, SqliteLog, tmp_path, PARTITIONS)


@pytest.fixture(scope="session")
def cassandra_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CassandraSystem]:
    """Three Cassandra nodes, until the last test that needs them is done. Who breaks them heals them."""
    if reason := cassandra_missing():
        pytest.skip(reason)
    yield _running["cassandra"].enter_context(CassandraSystem(tmp_path_factory.mktemp("cassandra")))
    _running["cassandra"].close()


def empty_cassandra(request: pytest.FixtureRequest, port: str) -> CassandraSystem | None:
    """The Cassandra nodes, with the tables of this port emptied, where the test's backend is Cassandra."""
    if request.param != "cassandra":
        return None
    system: CassandraSystem = request.getfixturevalue("cassandra_system")
    system.empty(port)
    return system


@pytest.fixture(params=STORES)
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Opened[MessageStore]]:
    """Opens the same store each time, empty at the start of the test.

    With `wall_clock=` it is one in which messages are kept for a time only.
    """
    system = empty_cassandra(request, "store")
    return (
        partial(system.opened, deadline_s=scaled(20.0))
        if system
        else partial(opened, SqliteStore, tmp_path, PARTITIONS)
    )


@pytest.fixture(params=STORES)
def make_keys(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Opened[KeyStore]]:
    """Opens the same shelf of keys each time, empty at the start of the test."""
    system = empty_cassandra(request, "keys")
    return system.opened_keys if system else partial(opened, SqliteKeys, tmp_path, PARTITIONS)


@pytest.fixture(params=STORES)
def make_devices(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Opened[Devices]]:
    """Opens the same device directory each time, empty at the start of the test."""
    system = empty_cassandra(request, "devices")
    return system.opened_devices if system else partial(opened, SqliteDevices, tmp_path, PARTITIONS)


@pytest.fixture(scope="module")
def redis_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisSystem]:
    """A master, a replica and three Sentinels, for the tests of one file."""
    with RedisSystem(tmp_path_factory.mktemp("redis")) as system:
        yield system


@pytest.fixture
def breakable_redis(tmp_path: Path) -> Iterator[RedisSystem]:
    """The same, for one test, which may break it."""
    with RedisSystem(tmp_path) as system:
        yield system


@pytest.fixture(scope="module")
def shard_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShardSystem]:
    """A Redis Cluster of three masters and three replicas, for the tests of one file. Who breaks it heals it."""
    with ShardSystem(tmp_path_factory.mktemp("shards")) as system:
        yield system


def emptied(request: pytest.FixtureRequest) -> ShardSystem | RedisSystem:
    """The servers of the test's backend, without any data."""
    name = "shard_system" if request.param == "redis-cluster" else "redis_system"
    system: ShardSystem | RedisSystem = request.getfixturevalue(name)
    system.forget_all()
    return system


@pytest.fixture(params=REGISTRIES)
def make_registry(request: pytest.FixtureRequest) -> Callable[[], Opened[Registry]]:
    """Opens the same registry each time, empty at the start of the test."""
    system = emptied(request)
    if isinstance(system, ShardSystem):
        return lambda: opened(ClusterRegistry, system.shards(deadline_s=scaled(2.0)))
    return lambda: opened_registry(system, deadline_s=scaled(2.0))


@pytest.fixture(params=REGISTRIES)
def make_presence(request: pytest.FixtureRequest) -> Callable[[float], Opened[Presence]]:
    """Opens the same presence each time, with this time to live; empty at the start of the test."""
    system = emptied(request)
    if isinstance(system, ShardSystem):
        return lambda ttl_s: opened(ClusterPresence, system.shards(deadline_s=scaled(2.0)), ttl_s=ttl_s)
    return lambda ttl_s: opened_presence(system, ttl_s=ttl_s, deadline_s=scaled(2.0))


@contextlib.asynccontextmanager
async def opened_presence(
    system: RedisSystem, *, ttl_s: float, deadline_s: float = 0.3
) -> AsyncIterator[RedisPresence]:
    """Presence on this system."""
    async with opened(RedisPresence, system.client(deadline_s=deadline_s), ttl_s=ttl_s) as presence:
        yield presence


@pytest.fixture(params=REGISTRIES)
def make_revocations(request: pytest.FixtureRequest) -> Callable[[], Opened[Revocations]]:
    """Opens the same list of revoked devices each time, empty at the start of the test."""
    system = emptied(request)

    @contextlib.asynccontextmanager
    async def opened_list() -> AsyncIterator[Revocations]:
        if isinstance(system, ShardSystem):
            async with system.client(deadline_s=scaled(2.0)) as shards:
                yield ClusterRevocations(shards)
            return
        async with opened_registry(system, deadline_s=scaled(2.0)) as registry:
            yield RedisRevocations(registry.master)

    return opened_list


@contextlib.asynccontextmanager
async def opened_registry(
    system: RedisSystem, *, address_map: dict[tuple[str, int], tuple[str, int]] | None = None, deadline_s: float = 0.3
) -> AsyncIterator[RedisRegistry]:
    """A registry on this system."""
    async with opened(RedisRegistry, system.client(address_map=address_map, deadline_s=deadline_s)) as registry:
        yield registry
