"""Which backend stands behind each port, by what the topology has. The only place that knows both.

With brokers the log is on Kafka, else in SQLite files; with Cassandra nodes the store is there, else in SQLite files.
A backend's library is imported only where it is used: each takes some 0.2 s and 15 MB of every process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sut.adapters.redis.client import Address
from sut.adapters.redis.master import RedisMaster
from sut.adapters.redis.presence import RedisPresence
from sut.adapters.redis.registry import RedisRegistry
from sut.adapters.redis.revocations import RedisRevocations
from sut.deploy.topology import ServiceKind, Topology
from sut.ports import Devices, KeyStore, MessageLog, MessageStore

if TYPE_CHECKING:
    from sut.adapters.cassandra.schema import Binding

DATA: Final = "data"
"""Directory of the SQLite files in the topology's own."""
REDIS_DEADLINE_S: Final = 0.3


def open_log(topology: Topology, node: str) -> MessageLog:
    """The log, for the service of this name. Raises SutError."""
    if topology.of_kind("kafka"):
        from sut.adapters.kafka.log import KafkaLog

        return KafkaLog(
            _dialed(topology, node, "kafka", "client"),
            topic=topology.topic,
            partitions=topology.settings.partitions,
            node=node,
        )
    from sut.adapters.sqlite.log import SqliteLog

    return SqliteLog(topology.path / DATA, topology.settings.partitions)


def open_store(topology: Topology, node: str) -> MessageStore:
    """The store, for the service of this name. Raises SutError."""
    if nodes := topology.of_kind("cassandra"):
        from sut.adapters.cassandra.store import CassandraStore

        return CassandraStore(
            _dialed(topology, node, "cassandra", "cql"),
            _binding(topology, node, len(nodes)),
            expires=topology.settings.retention_days > 0,
        )
    from sut.adapters.sqlite.store import SqliteStore

    return SqliteStore(topology.path / DATA, topology.settings.partitions)


def open_keys(topology: Topology, node: str) -> KeyStore:
    """The shelf of published keys, for the service of this name: beside the store. Raises SutError."""
    if nodes := topology.of_kind("cassandra"):
        from sut.adapters.cassandra.keys import CassandraKeys

        return CassandraKeys(_dialed(topology, node, "cassandra", "cql"), _binding(topology, node, len(nodes)))
    from sut.adapters.sqlite.keys import SqliteKeys

    return SqliteKeys(topology.path / DATA, topology.settings.partitions)


def open_devices(topology: Topology, node: str) -> Devices:
    """The device directory, beside the store, for the service of this name. Raises SutError."""
    if nodes := topology.of_kind("cassandra"):
        from sut.adapters.cassandra.devices import CassandraDevices

        return CassandraDevices(_dialed(topology, node, "cassandra", "cql"), _binding(topology, node, len(nodes)))
    from sut.adapters.sqlite.devices import SqliteDevices

    return SqliteDevices(topology.path / DATA, topology.settings.partitions)


def open_registry(topology: Topology, node: str) -> RedisRegistry:
    """The registry, reached over the links of the service of this name. Raises SutError."""
    return RedisRegistry(
        sentinels=_sentinels(topology, node),
        master_name=topology.redis_master,
        address_map=_dialed(topology, node, "redis", "redis"),
        deadline_s=REDIS_DEADLINE_S,
    )


def open_presence(topology: Topology, node: str, *, ttl_s: float) -> RedisPresence:
    """Who is there, on a connection of its own: what is slow here must not cost anybody a route. Raises SutError."""
    return RedisPresence(
        sentinels=_sentinels(topology, node),
        master_name=topology.redis_master,
        address_map=_dialed(topology, node, "redis", "redis"),
        ttl_s=ttl_s,
        deadline_s=REDIS_DEADLINE_S,
    )


def open_revocations(registry: RedisRegistry) -> RedisRevocations:
    """The list of revoked devices, by the registry's connections."""
    return RedisRevocations(registry.master)


def open_master(topology: Topology, node: str) -> RedisMaster:
    """The registry's Redis itself, reached over the links of the service of this name. Raises SutError."""
    return RedisMaster(
        sentinels=_sentinels(topology, node),
        master_name=topology.redis_master,
        address_map=_dialed(topology, node, "redis", "redis"),
        deadline_s=REDIS_DEADLINE_S,
    )


def _binding(topology: Topology, node: str, nodes: int) -> Binding:
    from sut.adapters.cassandra.schema import Binding

    return Binding(
        keyspace=topology.keyspace,
        log_id=topology.log_id or topology.run_id,
        partitions=topology.settings.partitions,
        creates=node == topology.of_kind("sequencer")[0].name,
        replication=min(3, nodes),
    )


def _sentinels(topology: Topology, node: str) -> list[Address]:
    return [topology.dial(node, service.name, "redis") for service in topology.of_kind("sentinel")]


def _dialed(topology: Topology, node: str, kind: ServiceKind, role: str) -> dict[Address, Address]:
    """Where this service dials each server of the kind, by the address that the servers themselves tell clients."""
    return {
        (service.host, service.ports[role]): topology.dial(node, service.name, role)
        for service in topology.of_kind(kind)
    }
