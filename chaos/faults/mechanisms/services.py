"""The common part of faults on services: the victims, and the looks from outside that prove damage and health.

A mechanism (crash, pause, ...) gives `prepare`, `inject`, `damage` and `repair`; a target gives `find_victims`,
`look_before`, `symptoms` and `recovery`. A fault joins the two, the target first: `class X(Target, Mechanism)`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from functools import partial
from typing import ClassVar, Protocol

from chaos.faults.fault import Fault
from chaos.faults.proofs.observe import incarnation, living_pid, peer_address, pings, same
from chaos.faults.proofs.proof import Look, Proof, in_turn, must
from chaos.faults.undo import Undo
from chaos.faults.world import World, own
from sut.deploy.topology import Service, ServiceKind, Topology


class OnServices(Fault):
    """A fault on one service of a kind, or on several at once."""

    kind: ClassVar[ServiceKind]
    least: ClassVar[int] = 1
    """The number of services of the kind that the topology must have."""
    victims: tuple[Service, ...]
    """The services that this injection hits. Known once the fault is armed."""
    pids: Mapping[str, int]
    """The pids of the victims when the fault was armed."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every service of the kind, if there are at least `least`."""
        services = own(topology, cls.kind)
        return tuple(service.name for service in services) if len(services) >= cls.least else ()

    @property
    def victim(self) -> Service:
        """The first of the victims, and usually the only one."""
        return self.victims[0]

    def find_victims(self) -> tuple[Service, ...]:
        """Return the services that this injection is to hit. Raises FaultError if they cannot be determined."""
        return (self.world.topology.service(self.target),)

    def look_before(self) -> None:
        """Record what later looks compare with. Raises FaultError if something is not healthy."""

    def symptoms(self) -> Iterable[Look]:
        """Return looks which prove, beside the damage itself, that the system suffers from it."""
        return ()

    def recovery(self) -> Iterable[Look]:
        """Return looks which prove, beside the repair itself, that the system has recovered."""
        return ()

    @abstractmethod
    def prepare(self) -> tuple[Undo, ...]:
        """Check what the mechanism needs and return the undo steps. Raises FaultError."""

    @abstractmethod
    def damage(self) -> Iterable[Look]:
        """Return looks which prove that the mechanism took effect."""

    def repair(self) -> Iterable[Look]:
        """Return looks which prove that the undo steps took effect."""
        return ()

    def arm(self) -> tuple[Undo, ...]:
        """Find the victims and their processes, and check that all is healthy. Raises FaultError."""
        self.victims = self.find_victims()
        self.pids = {service.name: living_pid(self.world, service.name) for service in self.victims}
        steps = self.prepare()
        self.look_before()
        return steps

    def effective(self) -> Proof:
        """Observe the damage, then the symptoms."""
        return in_turn(*self.damage(), *self.symptoms())

    def healed(self) -> Proof:
        """Observe the repair, then the recovery."""
        return in_turn(*self.repair(), *self.recovery())


class OnPeers(OnServices):
    """Services of the chat system itself. They answer a peer ping with their incarnation, which each start renews."""

    def look_before(self) -> None:
        """Record the incarnations of the victims."""
        self.incarnations = {service.name: incarnation(self.world.topology, service) for service in self.victims}

    def silent(self, victim: Service) -> Proof:
        """Observe whether a ping stays unanswered."""
        return pings(self.world.topology, "peer", peer_address(victim), "of its port", expected=False)

    def recovery(self) -> Iterable[Look]:
        """Return looks: the same incarnations answer."""
        topology = self.world.topology
        return (partial(same, topology, service, self.incarnations[service.name]) for service in self.victims)


class Cluster(Protocol):
    """Looks at the nodes of a cluster. May keep state: there is one object for each injection."""

    def __init__(self, topology: Topology) -> None: ...

    def ready(self) -> Proof:
        """Observe whether the cluster can lose a node now; two faults at once could cost the quorum."""

    def lost(self, node: Service) -> Proof:
        """Observe whether the other nodes have noticed the loss of this one."""

    def silent(self, node: Service) -> Proof:
        """Observe whether the node accepts a question and does not answer."""

    def alone(self, node: Service) -> Proof:
        """Observe whether the last node answers and says that it lacks a quorum."""

    def whole(self) -> Proof:
        """Observe whether every node sees every other and holds all its data."""


class OnCluster(OnServices):
    """Nodes of a cluster, whose state the other nodes can report."""

    looks: ClassVar[type[Cluster]]

    def __init__(self, world: World, target: str, options: Mapping[str, float]) -> None:
        super().__init__(world, target, options)
        self.cluster = self.looks(world.topology)

    def look_before(self) -> None:
        """Check that the cluster can lose a node. Raises FaultError."""
        must(self.cluster.ready())

    def silent(self, victim: Service) -> Proof:
        """Observe whether a question stays unanswered."""
        return self.cluster.silent(victim)

    def symptoms(self) -> Iterable[Look]:
        """Return one look: the other nodes have noticed the loss."""
        return (partial(self.cluster.lost, self.victim),)

    def recovery(self) -> Iterable[Look]:
        """Return one look: the cluster is whole."""
        return (self.cluster.whole,)
