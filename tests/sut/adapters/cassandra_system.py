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
from sut.adapters.cassandra.opening import Home
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
TABLES = {
    "store": ("message", "membership", "cursor", "receipt", "full_bucket", "bucket_day", "retention"),
    "keys": ("key_device", "one_time_prekey", "device_list"),
    "devices": ("device", "device_of_user", "push_address", "refuses_groups"),
}
"""The tables of each port. To empty one takes all three nodes some tenths of a second."""


def missing() -> str | None:
    """Why Cassandra cannot run here, None when it can. Fetches it the first time."""
    return jars.find("cassandra", on_progress=print).reason or None


class Cql:
    """CQL as an operator types it."""

    def __init__(self, addresses: list[Address]) -> None:
        self._cluster = make_cluster({address: address for address in addresses}, deadline_s=scaled(20.0))
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
        home = self._home(keyspace=keyspace, creates=creates, log_id=log_id, dialed=dialed)
        expires = wall_clock is not None
        return CassandraStore(home, deadline_s=deadline_s, expires=expires, wall_clock=wall_clock or time.time)

    def _home(
        self,
        *,
        keyspace: str = KEYSPACE,
        creates: bool = False,
        log_id: str = "log",
        dialed: Mapping[Address, Address] | None = None,
    ) -> Home:
        """These nodes, each dialed at its own address, or at those of `dialed`."""
        binding = Binding(keyspace=keyspace, log_id=log_id, partitions=4, creates=creates)
        return Home(dialed or {address: address for address in self.addresses}, binding)

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
        return opened(CassandraKeys, self._home(), deadline_s=scaled(20.0), wall_clock_ns=wall_clock_ns)

    def opened_devices(
        self, *, wall_clock_ns: Callable[[], int] = time.time_ns
    ) -> AbstractAsyncContextManager[CassandraDevices]:
        """The same directory each time. The first call waits until it is connected."""
        home = self._home(creates=True)
        return opened(CassandraDevices, home, deadline_s=scaled(20.0), wall_clock_ns=wall_clock_ns)

    def forget_hints(self, *nodes: int) -> None:
        """These nodes restart without what they held for others, as after three hours in which those were away."""
        self.kill(*nodes)
        for node in nodes:
            hints = cassandra_server.data_dir(self._topology.path, self.names[node]) / "hints"
            for file in hints.iterdir():
                file.unlink()
        self.heal()

    def empty(self, *ports: str) -> None:
        """The tables of these ports, or all, as they were when they were made. All nodes have to be there."""
        with contextlib.closing(self.cql()) as nodes:
            for port in ports or TABLES:
                for table in TABLES[port]:
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
