"""Links from a service's process to others of the system."""

from __future__ import annotations

from sut.deploy.topology import Service, ServiceKind, Topology
from sut.process.peer import PeerLink


def links_to(topology: Topology, service: Service, incarnation: int, *kinds: ServiceKind) -> dict[str, PeerLink]:
    """One to each process of these kinds, by its name. Whoever asks starts and closes them."""
    return {
        target.name: PeerLink(
            node=service.name,
            incarnation=incarnation,
            target=target.name,
            address=topology.dial(service.name, target.name),
        )
        for kind in kinds
        for target in topology.of_kind(kind)
    }
