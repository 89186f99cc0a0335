"""Which backend stands behind each port, by the topology's profile. The only place that knows both."""

from __future__ import annotations

from typing import Final

from sut.adapters.redis_client import Address
from sut.adapters.redis_master import RedisMaster
from sut.adapters.redis_registry import RedisRegistry
from sut.adapters.sqlite_log import SqliteLog
from sut.adapters.sqlite_store import SqliteStore
from sut.deploy.topology import Topology
from sut.ports import MessageLog, MessageStore, SutError

DATA: Final = "data"
"""Directory of the SQLite files in the topology's own."""
REDIS_DEADLINE_S: Final = 0.3
_PROFILES: Final = ("embedded",)


def open_log(topology: Topology, node: str) -> MessageLog:
    """The log, for the service of this name. Raises SutError."""
    _check(topology, node)
    return SqliteLog(topology.path / DATA, topology.settings.partitions)


def open_store(topology: Topology, node: str) -> MessageStore:
    """The store, for the service of this name. Raises SutError."""
    _check(topology, node)
    return SqliteStore(topology.path / DATA, topology.settings.partitions)


def open_registry(topology: Topology, node: str) -> RedisRegistry:
    """The registry, reached over the links of the service of this name. Raises SutError."""
    _check(topology, node)
    return RedisRegistry(
        sentinels=_sentinels(topology, node),
        master_name=topology.redis_master,
        address_map=_address_map(topology, node),
        deadline_s=REDIS_DEADLINE_S,
    )


def open_master(topology: Topology, node: str) -> RedisMaster:
    """The registry's Redis itself, reached over the links of the service of this name. Raises SutError."""
    _check(topology, node)
    return RedisMaster(
        sentinels=_sentinels(topology, node),
        master_name=topology.redis_master,
        address_map=_address_map(topology, node),
        deadline_s=REDIS_DEADLINE_S,
    )


def _check(topology: Topology, node: str) -> None:
    if topology.profile not in _PROFILES:
        raise SutError(f"{node}: no backends for profile {topology.profile!r}; there are: {', '.join(_PROFILES)}")


def _sentinels(topology: Topology, node: str) -> list[Address]:
    return [topology.dial(node, service.name, "redis") for service in topology.of_kind("sentinel")]


def _address_map(topology: Topology, node: str) -> dict[Address, Address]:
    """Where this service dials each Redis, which Sentinel names by its own address."""
    return {
        (service.host, service.ports["redis"]): topology.dial(node, service.name, "redis")
        for service in topology.of_kind("redis")
    }
