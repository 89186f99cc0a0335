"""What the faults share that kill every process of one of our services at once."""

from __future__ import annotations

from chaos.faults.fault import own
from chaos.faults.mechanisms.peer_crash import PeerCrash
from sut.deploy.topology import Service, Topology


class CrashOfAll(PeerCrash):
    """SIGKILL of all of a kind. The target is the kind, in the plural."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """One, where there are any."""
        return (f"{cls.kind}s",) if own(topology, cls.kind) else ()

    def victims(self) -> tuple[Service, ...]:
        """All of them."""
        return own(self.world.topology, self.kind)
