"""One gateway is cut off from both Redis nodes: no route can be registered, no lease renewed.

Breaks: its devices are up but unroutable once the lease has run out; new devices on it must still be welcomed, and
told to synchronise once they are registered.
Proven: a PING through each of its proxies gets no answer, while Redis itself answers.
Undone: the toxics are taken off. Healed when a PING through each proxy is answered.
"""

from __future__ import annotations

from chaos.faults.fault import Proof
from chaos.faults.mechanisms.partition import Partition
from chaos.faults.proofs.observe import redis_address, redis_pings
from sut.deploy.topology import Link, Topology


class PartitionGatewayRedis(Partition):
    """Blackhole of all links from one gateway to Redis."""

    name = "partition_gateway_redis"

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every gateway whose ways to Redis are proxied."""
        return tuple(gateway.name for gateway in topology.of_kind("gateway") if _to_redis(topology, gateway.name))

    def cut(self) -> tuple[Link, ...]:
        """All from this gateway to Redis."""
        return _to_redis(self.world.topology, self.target)

    def probe(self, link: Link, *, expected: bool) -> Proof:
        """PING through the proxy."""
        return redis_pings(("127.0.0.1", link.listen), f"through {link.name}", expected=expected)

    def probe_direct(self, link: Link) -> Proof:
        """PING of Redis itself."""
        service = self.world.topology.service(link.target)
        return redis_pings(redis_address(service), f"of {link.target} itself", expected=True)


def _to_redis(topology: Topology, gateway: str) -> tuple[Link, ...]:
    nodes = {service.name for service in topology.of_kind("redis")}
    return tuple(link for link in topology.links if link.source == gateway and link.target in nodes)
