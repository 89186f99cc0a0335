"""What the faults share that cut one node of a cluster off from the others by dropping packets.

No proxy stands between the nodes of a cluster. Clients go on reaching all of them: only the ports at which the nodes
talk among themselves are cut.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from chaos.errors import FaultError
from chaos.faults.fault import Fault, Proof, in_turn, own
from chaos.faults.proofs.observe import dropping, living_pid
from chaos.faults.undo import Allow, Undo
from sut.deploy.errors import PacketError
from sut.deploy.net.packets import Way
from sut.deploy.topology import Service, ServiceKind, Topology


class PacketPartition(Fault):
    """Packets between one node and each of the others are dropped, both ways or only those that it sends first.

    One way means: what it asks the others is lost, and what they ask it is answered. (To drop its answers too would
    close their connections as well: TCP needs both directions.)
    """

    needs = frozenset({"packets"})
    kind: ClassVar[ServiceKind]
    ports: ClassVar[tuple[str, ...]]
    """Roles of the ports at which the nodes talk among themselves."""
    one_way: ClassVar[bool] = False

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every node, where there are others."""
        nodes = own(topology, cls.kind)
        return tuple(node.name for node in nodes) if len(nodes) > 1 else ()

    def victim(self) -> Service:
        """Whom this injection cuts off. Raises FaultError when that cannot be told."""
        return self.world.topology.service(self.target)

    @abstractmethod
    def look_before(self) -> None:
        """Remember what the later looks compare with. Raises FaultError when something is not healthy."""

    @abstractmethod
    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """What shows that the cluster suffers from it, beside the packets dropped."""

    @abstractmethod
    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """What shows that it is whole again."""

    def arm(self) -> tuple[Undo, ...]:
        """The node and its peers are there, and can be told apart."""
        self._victim = self.victim()
        self._peers = tuple(s for s in own(self.world.topology, self.kind) if s.name != self._victim.name)
        for service in (self._victim, *self._peers):
            living_pid(self.world, service.name)
            if service.gid == 0:
                raise FaultError(f"{service.name} has no group of its own: its packets cannot be told from others'")
        self.look_before()
        return (Allow(self._reason),)

    def inject(self) -> None:
        """Drop them all."""
        try:
            self.world.packets.drop(self._reason, self._ways())
        except PacketError as error:
            raise FaultError(str(error)) from None

    def effective(self) -> Proof:
        """Packets of the victim are dropped, and the symptoms show.

        Not every peer need have something to say to it: who follows nothing that it leads does not.
        """
        senders = (self._victim,) if self.one_way else (self._victim, *self._peers)
        names = {service.gid: service.name for service in senders}
        cut = partial(dropping, self.world, self._reason, names, surely=self._victim.gid)
        return in_turn(cut, *self.symptoms())

    def healed(self) -> Proof:
        """All that the fault asks."""
        return in_turn(*self.recovery())

    @property
    def _reason(self) -> str:
        return f"{self.name} {self.target}"

    def _ways(self) -> list[Way]:
        ways = []
        for peer in self._peers:
            for role in self.ports:
                ways.append(Way(self._victim.gid, (peer.host, peer.ports[role])))
                if not self.one_way:
                    ways.append(Way(peer.gid, (self._victim.host, self._victim.ports[role])))
        return ways
