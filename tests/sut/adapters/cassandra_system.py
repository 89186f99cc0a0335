"""Three real Cassandra nodes under a supervisor, and what a test does to one of them."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import Any

from cassandra import ConsistencyLevel
from cassandra.query import SimpleStatement

from sut.adapters.cassandra.devices import CassandraDevices
from sut.adapters.cassandra.keys import CassandraKeys
from sut.adapters.cassandra.policies import make_cluster
from sut.adapters.cassandra.schema import Binding, WrongLog
from sut.adapters.cassandra.store import CassandraStore
from sut.deploy.servers import cassandra as cassandra_server
from sut.deploy.servers import jars
from sut.ports import Unavailable
from tests.kit.pace import scaled
from tests.sut.adapters.cluster import Address, Cluster, opened

ONE: int = ConsistencyLevel.ONE
ALL: int = ConsistencyLevel.ALL
KEYSPACE = "petrel"
TABLES_S = 60.0


def missing() -> str | None:
    """Why Cassandra cannot run here, None when it can. Fetches it the first time."""
    return jars.find("cassandra", on_progress=print).reason or None


class Cql:
    """CQL as an operator types it."""

    def __init__(self, addresses: list[Address]) -> None:
        self._cluster = make_cluster(
            {address: address for address in addresses}, local_dc=None, deadline_s=scaled(20.0)
        )
        self._session = self._cluster.connect()

    def run(self, query: str, consistency: int = ALL) -> list[tuple[Any, ...]]:
        """Its rows."""
        return list(self._session.execute(SimpleStatement(query, consistency_level=consistency)))

    def close(self) -> None:
        """End the connections."""
        self._cluster.shutdown()


class CassandraSystem(Cluster):
    """Nodes 0, 1 and 2, each on a loopback address of its own."""

    START_S, HEAL_S, PROBE_S = 90.0, 90.0, 2.0

    def __init__(self, directory: Path) -> None:
        found = jars.find("cassandra", on_progress=print).path
        super().__init__("cassandra", directory, cassandra_server.services, found, first=0)
        self.addresses: list[Address] = [(s.host, s.ports["cql"]) for s in self._topology.services]

    def _started(self) -> None:
        asyncio.run(self._make_tables())

    def store(
        self,
        *,
        keyspace: str = KEYSPACE,
        creates: bool = True,
        log_id: str = "log",
        dialed: Mapping[Address, Address] | None = None,
        deadline_s: float = 2.0,
        wall_clock: Callable[[], float] | None = None,
    ) -> CassandraStore:
        """A store on these nodes; whoever calls closes it. With a clock it is one that forgets."""
        binding = Binding(keyspace=keyspace, log_id=log_id, partitions=4, creates=creates)
        addresses = dialed or {address: address for address in self.addresses}
        return CassandraStore(
            addresses,
            binding,
            local_dc=cassandra_server.LOCAL_DC,
            deadline_s=deadline_s,
            expires=wall_clock is not None,
            wall_clock=wall_clock or time.time,
        )

    @contextlib.asynccontextmanager
    async def opened(
        self,
        *,
        deadline_s: float = 2.0,
        dialed: Mapping[Address, Address] | None = None,
        wall_clock: Callable[[], float] | None = None,
    ) -> AsyncIterator[CassandraStore]:
        """The same store each time, connected."""
        store = partial(self.store, dialed=dialed, deadline_s=deadline_s, wall_clock=wall_clock)
        async with opened(store) as one:
            await connected(one)
            yield one

    def opened_keys(
        self, *, wall_clock_ns: Callable[[], int] = time.time_ns
    ) -> AbstractAsyncContextManager[CassandraKeys]:
        """The shelf of keys on these nodes."""
        where = {address: address for address in self.addresses}
        binding = Binding(keyspace=KEYSPACE, log_id="log", partitions=4, creates=False)
        local_dc, deadline_s = cassandra_server.LOCAL_DC, scaled(20.0)
        return opened(
            CassandraKeys, where, binding, local_dc=local_dc, deadline_s=deadline_s, wall_clock_ns=wall_clock_ns
        )

    def opened_devices(
        self, *, wall_clock_ns: Callable[[], int] = time.time_ns
    ) -> AbstractAsyncContextManager[CassandraDevices]:
        """The same directory each time. The first call waits until it is connected."""
        where = {address: address for address in self.addresses}
        binding = Binding(keyspace=KEYSPACE, log_id="log", partitions=4, creates=True)
        return opened(CassandraDevices, where, binding, deadline_s=scaled(20.0), wall_clock_ns=wall_clock_ns)

    def forget_hints(self, *nodes: int) -> None:
        """These nodes restart without what they held for others, as after three hours in which those were away."""
        self.kill(*nodes)
        for node in nodes:
            hints = cassandra_server.data_dir(self._topology.path, self.names[node]) / "hints"
            for file in hints.iterdir():
                file.unlink()
        self.heal()

    def empty(self) -> None:
        """The store as it was when it was made. All nodes have to be there."""
        with contextlib.closing(self.cql()) as nodes:
            tables = ("message", "membership", "cursor", "receipt", "key_device", "one_time_prekey", "device_list")
            retention = ("full_bucket", "bucket_day", "retention")
            for table in (*tables, *retention, "device", "device_of_user", "push_address", "refuses_groups"):
                nodes.run(f"TRUNCATE {KEYSPACE}.{table}")

    def cql(self, node: int | None = None) -> Cql:
        """Plain CQL, through one node or any."""
        return Cql(self.addresses if node is None else [self.addresses[node]])

    def via(self, node: int) -> dict[Address, Address]:
        """What makes a store ask this node only: all others are where nobody listens."""
        return {a: a if n == node else ("127.0.0.1", 1) for n, a in enumerate(self.addresses)}

    async def _make_tables(self) -> None:
        store = self.store()
        async with asyncio.timeout(scaled(TABLES_S)):
            await connected(store)
        await store.close()


async def connected(store: CassandraStore) -> None:
    """Return when it answers; the caller says how long it may take."""
    while True:
        try:
            await store.cursors(0)
        except WrongLog:
            raise
        except Unavailable:
            continue
        return
