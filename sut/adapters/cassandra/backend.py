"""The store on the Cassandra nodes of a topology."""

from __future__ import annotations

from sut.adapters.cassandra.devices import CassandraDevices
from sut.adapters.cassandra.keys import CassandraKeys
from sut.adapters.cassandra.opening import Home
from sut.adapters.cassandra.schema import Binding
from sut.adapters.cassandra.store import CassandraStore
from sut.adapters.shared.site import Site


def open_store(site: Site) -> CassandraStore:
    return CassandraStore(_home(site), expires=site.topology.settings.retention_days > 0)


def open_keys(site: Site) -> CassandraKeys:
    return CassandraKeys(_home(site))


def open_devices(site: Site) -> CassandraDevices:
    return CassandraDevices(_home(site))


def _home(site: Site) -> Home:
    topology = site.topology
    binding = Binding(
        keyspace=topology.keyspace,
        log_id=topology.log_id or topology.run_id,
        partitions=topology.settings.partitions,
        creates=site.node == topology.of_kind("sequencer")[0].name,
        replication=min(3, len(topology.of_kind("cassandra"))),
    )
    return Home(site.dialed("cassandra", "cql"), binding, topology.login("cassandra"))
