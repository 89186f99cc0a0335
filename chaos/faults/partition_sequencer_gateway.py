"""One sequencer is cut off from one gateway: its deliveries vanish, and neither end is told.

Breaks: acks and notifications from this sequencer's partitions to this gateway's devices are lost until both ends
notice the silence; the devices must learn that they missed something.
Proven: a ping through the proxy gets no answer, while the gateway itself answers.
Undone: the toxics are taken off. Healed when a ping through the proxy is answered.
"""

from __future__ import annotations

from chaos.faults.fault import Proof
from chaos.faults.mechanisms.partition import Partition
from chaos.faults.proofs.observe import peer_address, pings
from sut.deploy.topology import Link, Topology


class PartitionSequencerGateway(Partition):
    """Blackhole of the link from one sequencer to one gateway. The target is the link."""

    name = "partition_sequencer_gateway"

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every proxied link from a sequencer to a gateway."""
        return tuple(link.name for link in _links(topology))

    def cut(self) -> tuple[Link, ...]:
        """The one link."""
        return tuple(link for link in _links(self.world.topology) if link.name == self.target)

    def probe(self, link: Link, *, expected: bool) -> Proof:
        """Ping through the proxy."""
        return pings(("127.0.0.1", link.listen), f"through {link.name}", expected=expected)

    def probe_direct(self, link: Link) -> Proof:
        """Ping of the gateway itself."""
        service = self.world.topology.service(link.target)
        return pings(peer_address(service), f"of {link.target} itself", expected=True)


def _links(topology: Topology) -> tuple[Link, ...]:
    sources = {service.name for service in topology.of_kind("sequencer")}
    targets = {service.name for service in topology.of_kind("gateway")}
    return tuple(link for link in topology.links if link.source in sources and link.target in targets)
