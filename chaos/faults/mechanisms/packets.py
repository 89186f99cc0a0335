"""Packet partitions: one node of a cluster is cut off from the others by dropping packets.

No proxy stands between the nodes of a cluster. Only the ports that the nodes use among themselves are cut, so clients
still reach all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from typing import ClassVar

from chaos.errors import FaultError
from chaos.faults.mechanisms.services import OnServices
from chaos.faults.proofs.observe import dropping, living_pid
from chaos.faults.proofs.proof import Look
from chaos.faults.undo import Allow, Undo
from chaos.faults.world import own
from sut.deploy.errors import PacketError
from sut.deploy.net.packets import Way
from sut.deploy.topology import Service


class PacketPartition(OnServices):
    """Drops packets between one node and each of its peers, both ways or only those of connections to the peers.

    One way means that its requests to the others are lost while their requests are answered. Its answers are not
    dropped: TCP needs both directions, so that would close their connections as well.
    """

    needs = frozenset({"packets"})
    least = 2
    ports: ClassVar[tuple[str, ...]] = ()
    """Roles of the ports that the nodes use among themselves."""
    one_way: ClassVar[bool] = False
    peers: tuple[Service, ...]
    """The services that the victim is cut off from. Known once the fault is armed."""
    peer_pids: tuple[int, ...]

    def find_peers(self) -> Iterable[Service]:
        """Return all services that the victim may be cut off from; the victim may be among them."""
        return own(self.world.topology, self.kind)

    def prepare(self) -> tuple[Undo, ...]:
        """Check that the victim and its peers run, each in its own group; return the undo step. Raises FaultError."""
        self.peers = tuple(service for service in self.find_peers() if service.name != self.victim.name)
        self.peer_pids = tuple(living_pid(self.world, service.name) for service in self.peers)
        everybody = (self.victim, *self.peers)
        gids = [service.gid for service in everybody]
        for service in everybody:
            if service.gid == 0 or gids.count(service.gid) > 1:
                raise FaultError(f"{service.name} has no group of its own: its packets cannot be told from others'")
        return (Allow(self.reason),)

    def inject(self) -> None:
        """Add the rules that drop the packets, one list after the other. Raises FaultError."""
        try:
            for ways in self.cuts():
                self.world.packets.drop(self.reason, ways)
        except PacketError as error:
            raise FaultError(str(error)) from None

    def cuts(self) -> Iterator[list[Way]]:
        """Yield lists of packets to drop. Each list is requested once those before it are dropped."""
        ways = []
        for peer in self.peers:
            for role in self.ports:
                ways.append(Way(self.victim.gid, (peer.host, peer.ports[role])))
                if not self.one_way:
                    ways.append(Way(peer.gid, (self.victim.host, self.victim.ports[role])))
        yield ways

    def damage(self) -> Iterable[Look]:
        """Return one look: packets of the victim are dropped.

        A peer may have none to send if it follows no partition that the victim leads.
        """
        senders = (self.victim,) if self.one_way else (self.victim, *self.peers)
        return (partial(dropping, self.world, self.reason, senders, surely=[self.victim]),)

    @property
    def reason(self) -> str:
        """The name of the rules in the packet filter."""
        return f"{self.name} {self.target}"
