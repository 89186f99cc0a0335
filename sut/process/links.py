"""Links from a service's process to the other processes of the system."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sut.deploy.topology import Service, ServiceKind, Topology
from sut.process.peer import PeerLink
from sut.protocol.peer import PeerFrame


def links_to(
    topology: Topology,
    service: Service,
    incarnation: int,
    *kinds: ServiceKind,
    on_frame: Callable[[PeerFrame], None] | None = None,
    of: Callable[[Service], bool] = lambda _target: True,
) -> dict[str, PeerLink]:
    """Return a link to each process of these kinds that `of` accepts, by its name.

    `sut.process.serving.peers` starts and closes them.
    """
    return {
        target.name: PeerLink(
            node=service.name,
            incarnation=incarnation,
            target=target.name,
            address=topology.dial(service.name, target.name),
            secret=topology.peer_secret,
            on_frame=on_frame,
        )
        for kind in kinds
        for target in topology.of_kind(kind)
        if of(target)
    }


def by_partition(topology: Topology, links: Mapping[str, PeerLink]) -> dict[int, PeerLink]:
    """Return the link to the sequencer of each log partition. `links` are those of `links_to`."""
    return {p: links[topology.sequencer_of(p).name] for p in range(topology.settings.partitions)}
