"""Three real Cassandra nodes under a supervisor, and what a test does to one of them."""

import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Self

from cassandra import ConsistencyLevel
from cassandra.query import SimpleStatement

from sut.adapters.cassandra.devices import CassandraDevices
from sut.adapters.cassandra.keys import CassandraKeys
from sut.adapters.cassandra.policies import make_cluster
from sut.adapters.cassandra.schema import Binding, WrongLog
from sut.adapters.cassandra.store import CassandraStore
from sut.deploy.place import Place
from sut.deploy.servers import cassandra as cassandra_server
from sut.deploy.servers import jars
from sut.deploy.supervise.reservation import Reservation
from sut.deploy.system import boot
from sut.deploy.topology import Settings, Topology
from sut.ports import Unavailable
from tests.kit.pace import scaled
from tests.kit.waits import wait_until

Address = tuple[str, int]
ONE: int = ConsistencyLevel.ONE
ALL: int = ConsistencyLevel.ALL
KEYSPACE = "petrel"
START_S = 90.0
TABLES_S = 60.0
HEAL_S = 90.0
PROBE_S = 2.0


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


class CassandraSystem:
    """Nodes 0, 1 and 2, each on a loopback address of its own."""

    def __init__(self, directory: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._reservation = self._stack.enter_context(Reservation())
        place = Place(
            directory=directory,
            redis_server=Path("none"),
            toxiproxy=None,
            port=self._reservation.port,
            settings=Settings(),
            variant=None,
            cassandra_jars=jars.find("cassandra", on_progress=print).path,
            subnet=f"127.{random.randint(1, 250)}.{random.randint(1, 250)}",
        )
        run_id = os.urandom(8).hex()
        self._topology = Topology(
            run_id=run_id, profile="cassandra", dir=str(directory), token_key="", api_key="",
            services=cassandra_server.services("cassandra", 3, place),
        )  # fmt: skip
        self.names = [service.name for service in self._topology.services]
        self.addresses: list[Address] = [(s.host, s.ports["cql"]) for s in self._topology.services]

    def __enter__(self) -> Self:
        with self._stack:
            self.system = boot(self._topology, self._reservation, on_progress=print, timeout_s=scaled(START_S))
            self._stack.callback(self.system.stop)
            asyncio.run(self._make_tables())
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

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
        store = self.store(dialed=dialed, deadline_s=deadline_s, wall_clock=wall_clock)
        try:
            await connected(store)
            yield store
        finally:
            await store.close()

    @contextlib.asynccontextmanager
    async def opened_keys(self, *, deadline_s: float = 2.0) -> AsyncIterator[CassandraKeys]:
        """The shelf of keys on these nodes."""
        binding = Binding(keyspace=KEYSPACE, log_id="log", partitions=4, creates=False)
        addresses = {address: address for address in self.addresses}
        keys = CassandraKeys(addresses, binding, local_dc=cassandra_server.LOCAL_DC, deadline_s=deadline_s)
        try:
            yield keys
        finally:
            await keys.close()

    @contextlib.asynccontextmanager
    async def opened_devices(self) -> AsyncIterator[CassandraDevices]:
        """The same directory each time. The first call waits until it is connected."""
        binding = Binding(keyspace=KEYSPACE, log_id="log", partitions=4, creates=True)
        devices = CassandraDevices({a: a for a in self.addresses}, binding, deadline_s=scaled(20.0))
        try:
            yield devices
        finally:
            await devices.close()

    def empty(self) -> None:
        """The store as it was when it was made. All nodes have to be there."""
        with contextlib.closing(self.cql()) as nodes:
            tables = ("message", "membership", "cursor", "receipt", "key_device", "one_time_prekey", "device_list")
            retention = ("full_bucket", "bucket_day", "retention")
            for table in (*tables, *retention, "device", "device_of_user"):
                nodes.run(f"TRUNCATE {KEYSPACE}.{table}")

    def cql(self, node: int | None = None) -> Cql:
        """Plain CQL, through one node or any."""
        return Cql(self.addresses if node is None else [self.addresses[node]])

    def via(self, node: int) -> dict[Address, Address]:
        """What makes a store ask this node only: all others are where nobody listens."""
        return {a: a if n == node else ("127.0.0.1", 1) for n, a in enumerate(self.addresses)}

    def pause(self, *nodes: int) -> None:
        """SIGSTOP."""
        for node in nodes:
            os.kill(self._pid(node), signal.SIGSTOP)

    def resume(self, *nodes: int) -> None:
        """SIGCONT."""
        for node in nodes:
            os.kill(self._pid(node), signal.SIGCONT)

    def kill(self, *nodes: int) -> None:
        """SIGKILL; they stay away until `heal`."""
        for node in nodes:
            self.system.hold(self.names[node])
        for node in nodes:
            os.kill(self._pid(node), signal.SIGKILL)
        wait_until(lambda: all(self.system.pid(self.names[node]) is None for node in nodes), timeout_s=10.0)

    async def _make_tables(self) -> None:
        store = self.store()
        async with asyncio.timeout(scaled(TABLES_S)):
            await connected(store)
        await store.close()

    def heal(self) -> None:
        """All nodes there, each seeing all."""
        for node, name in enumerate(self.names):
            self.system.release(name)
            if self.system.pid(name) is not None:
                self.resume(node)
        wait_until(self.whole, timeout_s=HEAL_S)

    def whole(self) -> bool:
        """Whether each node is answered by all."""
        return not self.system.problems(scaled(PROBE_S))

    def _pid(self, node: int) -> int:
        pid = self.system.pid(self.names[node])
        assert pid is not None, f"{self.names[node]} is not running"
        return pid


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
