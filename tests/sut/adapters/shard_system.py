"""A real Redis Cluster under a supervisor: three masters with a replica each, with users and passwords."""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, Self

import msgspec

from sut.adapters.redis.client import asking, slot_of
from sut.adapters.redis.cluster import admin
from sut.adapters.redis.cluster.shards import Shards
from sut.deploy.logins import Login
from sut.deploy.servers import shard as server
from sut.deploy.servers.binaries import CLUSTER_REDIS, find_redis_server
from sut.ports import Unavailable
from tests.kit.pace import scaled
from tests.sut.adapters.cluster import Address, Cluster, opened

NODES = 6


class ShardSystem(Cluster):
    """Nodes 1 to 3 begin as masters, 4 to 6 as their replicas. The clients of a test have the services' rights."""

    START_S, HEAL_S, PROBE_S = 30.0, 40.0, 0.5

    def __init__(self, directory: Path, *, restart_s: float | None = None) -> None:
        """`restart_s`: after which a dead node is back, if not after the usual time."""
        super().__init__(
            "shard", directory, server.services, None, first=1,
            count=NODES, redis_server=find_redis_server(CLUSTER_REDIS), redis_key=os.urandom(32).hex(),
        )  # fmt: skip
        if restart_s is not None:
            services = [msgspec.structs.replace(one, restart_delay_s=restart_s) for one in self._topology.services]
            self._topology = msgspec.structs.replace(self._topology, services=tuple(services))
        self.nodes = [(one.host, one.ports["redis"]) for one in self._topology.of_kind("shard")]

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def client(
        self, *, deadline_s: float, address_map: Mapping[Address, Address] | None = None
    ) -> AbstractAsyncContextManager[Shards]:
        """A client of the cluster, closed at the end of the block."""
        return opened(self.shards, deadline_s=deadline_s, address_map=address_map)

    def shards(self, *, deadline_s: float, address_map: Mapping[Address, Address] | None = None) -> Shards:
        """A client of the cluster, for an adapter, which closes it."""
        dialed = {node: node for node in self.nodes} | dict(address_map or {})
        return Shards(list(dialed.values()), address_map=dialed, deadline_s=deadline_s, login=self.service)

    @contextmanager
    def operator(self, node: Address) -> Iterator[Any]:
        """Asks one node, with all rights."""
        with asking(node, scaled(2.0), login=self.login, each=True) as ask:
            yield ask

    @property
    def login(self) -> Login | None:
        """The operator's."""
        return self._topology.redis_login("operator")

    @property
    def service(self) -> Login | None:
        """That of the services."""
        return self._topology.redis_login("service")

    def master_of(self, key: str) -> Address | None:
        """The master of the key's slot, as the first node that answers tells clients; None while none does."""
        for node in self.nodes:
            try:
                return admin.owner(node, slot_of(key), 0.3, self.login)
            except Unavailable:
                continue
        return None

    def number(self, node: Address) -> int:
        """The number of the node."""
        return self.nodes.index(node) + 1

    def forget_all(self) -> None:
        """Empty the masters, and wait for their replicas."""
        for node in self.nodes:
            with self.operator(node) as ask:
                if ask("ROLE")[0] == "master":
                    ask("FLUSHALL")
