"""Partitions of links: proxies swallow every byte, without either end being told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from chaos.errors import FaultError
from chaos.faults.fault import Fault
from chaos.faults.proofs.observe import pings
from chaos.faults.proofs.proof import Proof, every, must
from chaos.faults.undo import Restore, Undo
from sut.deploy.errors import LinkError
from sut.deploy.topology import Link, ServiceKind, Topology


class Partition(Fault):
    """A black hole in every link from one service to all services of some kinds, or in one link (kind "link").

    Connections stay open, new ones open too, and no bytes arrive.
    """

    needs = frozenset({"links"})
    source: ClassVar[ServiceKind]
    to: ClassVar[tuple[ServiceKind, ...]]

    @classmethod
    def cut(cls, topology: Topology) -> Mapping[str, tuple[Link, ...]]:
        """Return the links that are cut, by target."""
        sources = topology.of_kind(cls.source)
        ends = {service.name for service in topology.services if service.kind in cls.to}
        names = {source.name for source in sources}
        links = [link for link in topology.links if link.source in names and link.target in ends]
        if cls.kind == "link":
            return {link.name: (link,) for link in links}
        by_source = {source.name: tuple(link for link in links if link.source == source.name) for source in sources}
        return {name: cut for name, cut in by_source.items() if cut}

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every link, or every source with such links."""
        return tuple(cls.cut(topology))

    def arm(self) -> tuple[Undo, ...]:
        """Check that all the links answer pings; return the undo steps. Raises FaultError."""
        self._links = self.cut(self.world.topology)[self.target]
        must(self.healed())
        return tuple(Restore(link.name) for link in self._links)

    def inject(self) -> None:
        """Blackhole all the links. Raises FaultError."""
        try:
            for link in self._links:
                self.world.links.blackhole(link.name)
        except LinkError as error:
            raise FaultError(str(error)) from None

    def effective(self) -> Proof:
        """Observe that no link answers a ping and every far end does: only the links are cut."""
        silent = every(self._through(link, expected=False) for link in self._links)
        return every((silent, *map(self._direct, self._links))) if silent else silent

    def healed(self) -> Proof:
        """Observe whether every link answers again."""
        return every(self._through(link, expected=True) for link in self._links)

    def _through(self, link: Link, *, expected: bool) -> Proof:
        return pings(self.world.topology, link.port, link.address, f"through {link.name}", expected=expected)

    def _direct(self, link: Link) -> Proof:
        topology = self.world.topology
        service = topology.service(link.target)
        address = service.host, service.ports[link.port]
        return pings(topology, link.port, address, f"of {link.target} itself", expected=True)
