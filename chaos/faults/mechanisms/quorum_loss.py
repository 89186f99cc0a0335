"""What the faults share that kill all nodes of a cluster but one: too few are left to agree on anything."""

from __future__ import annotations

from itertools import combinations

from chaos.faults.fault import own
from chaos.faults.mechanisms.crash import Crash
from sut.deploy.topology import Service, Topology


class QuorumLoss(Crash):
    """SIGKILL of two of three nodes. The target is the two names, joined by "+"."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every pair of three."""
        nodes = own(topology, cls.kind)
        return tuple(f"{one.name}+{two.name}" for one, two in combinations(nodes, 2)) if len(nodes) == 3 else ()

    def victims(self) -> tuple[Service, ...]:
        """The two."""
        return tuple(self.world.topology.service(name) for name in self.target.split("+"))

    @property
    def survivor(self) -> Service:
        """The third."""
        lost = self.target.split("+")
        return next(service for service in own(self.world.topology, self.kind) if service.name not in lost)
