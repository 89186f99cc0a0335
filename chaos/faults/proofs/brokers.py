"""Single looks at the Kafka nodes from outside, each as a Proof: what the faults on brokers are proven by.

A broker that was stopped or cut off tells what it last knew, so the others are asked about it, and all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from chaos.errors import FaultError
from chaos.faults.fault import Proof, own
from chaos.faults.proofs.observe import LOOK_S
from sut.adapters.kafka.probe import KafkaView
from sut.deploy.probes import probe, question
from sut.deploy.topology import Service, Topology

RESTART_S = 10.0
"""A broker's JVM on two busy cores, its log read again, and the followers in step."""


def partitions(topology: Topology) -> tuple[str, ...]:
    """Every partition of the log by name, where the brokers are ours and there are enough of them to lose one."""
    if len(own(topology, "kafka")) < 3:
        return ()
    return tuple(f"{topology.topic}-{number}" for number in range(topology.settings.partitions))


class Brokers:
    """The Kafka nodes of one topology."""

    def __init__(self, topology: Topology) -> None:
        self._topic = topology.topic
        self.all = own(topology, "kafka")
        self._named = {service.index + 1: service for service in self.all}

    def leader(self, partition: str) -> Service:
        """Who leads a partition. Raises FaultError when nobody is known to."""
        number = int(partition.removeprefix(f"{self._topic}-"))
        for broker in self.all:
            view = self._view(broker)
            if view is not None and number in view.leaders:
                return self._named[view.leaders[number]]
        raise FaultError(f"nobody leads {partition}")

    def controller(self, *, without: Collection[str] = ()) -> Service:
        """Who controls the cluster now, of the others. Raises FaultError when nobody does."""
        for broker in self._besides(without):
            node = probe.kafka_controller(_controller(broker), LOOK_S)
            if node is not None and node in self._named:
                return self._named[node]
        raise FaultError("nobody is the controller")

    def whole(self) -> Proof:
        """Every broker answers, sees all alive, and sees each partition led and all its replicas in sync."""
        count = 0
        for broker in self.all:
            view = self._view(broker)
            if view is None:
                return Proof(ok=False, text=f"{broker.name} does not answer")
            if missing := self._named.keys() - view.node_ids:
                return Proof(ok=False, text=f"{broker.name} does not see {self._names(missing)}")
            short = [number for number, replicas in view.replicas.items() if view.isr[number] != replicas]
            if short or view.leaders.keys() != view.replicas.keys():
                return Proof(ok=False, text=f"{broker.name} sees {len(short)} partitions out of sync")
            count = len(view.replicas)
        return Proof(ok=True, text=f"every broker sees all {len(self.all)} alive and in sync in {count} partitions")

    def let_go(self, lost: Service) -> Proof:
        """Every other broker says that this one is not in sync in any partition, and that each has another leader."""
        node = lost.index + 1
        leaders: set[int] = set()
        for broker in self._besides([lost.name]):
            view = self._view(broker)
            if view is None:
                return Proof(ok=False, text=f"{broker.name} does not answer")
            if held := [number for number, isr in view.isr.items() if node in isr]:
                return Proof(ok=False, text=f"{broker.name} still has {lost.name} in sync in {len(held)} partitions")
            if view.leaders.keys() != view.replicas.keys() or node in view.leaders.values():
                return Proof(ok=False, text=f"{broker.name} knows no other leader for each partition yet")
            leaders |= set(view.leaders.values())
        text = f"the others have {lost.name} in sync nowhere, and all partitions led by {self._names(leaders)}"
        return Proof(ok=True, text=text)

    def succeeded(self, old: Service) -> Proof:
        """Another broker controls the cluster, say the others."""
        try:
            now = self.controller(without=[old.name])
        except FaultError as error:
            return Proof(ok=False, text=str(error))
        return Proof(now.name != old.name, f"{now.name} is the controller")

    def without_quorum(self, survivor: Service) -> Proof:
        """The one that is left answers, and does not control the cluster alone: nobody does."""
        view = self._view(survivor)
        if view is None:
            return Proof(ok=False, text=f"{survivor.name} does not answer")
        node = probe.kafka_controller(_controller(survivor), LOOK_S)
        if node is not None:
            return Proof(ok=False, text=f"{survivor.name} is still the controller")
        return Proof(ok=True, text=f"{survivor.name} answers and is not the controller")

    def silent(self, broker: Service) -> Proof:
        """It accepts a question and does not answer."""
        answer = question.ask("client", _client(broker), LOOK_S)
        return Proof(answer.how == "silence", f"{broker.name}: {answer}")

    def must_be_whole(self) -> None:
        """Raises FaultError when the cluster is not: two faults at once could cost the quorum."""
        whole = self.whole()
        if not whole:
            raise FaultError(whole.text)

    def _besides(self, names: Collection[str]) -> tuple[Service, ...]:
        return tuple(broker for broker in self.all if broker.name not in names)

    def _view(self, broker: Service) -> KafkaView | None:
        return probe.kafka_view(_client(broker), LOOK_S, self._topic)

    def _names(self, nodes: Iterable[int]) -> str:
        return ", ".join(self._named[node].name if node in self._named else f"node {node}" for node in sorted(nodes))


def _client(broker: Service) -> tuple[str, int]:
    """Its own address, not a proxy's."""
    return broker.host, broker.ports["client"]


def _controller(broker: Service) -> tuple[str, int]:
    """Where it answers for the quorum, if it is the controller. (Asked at the other port it passes the question on, to
    one that may be stopped, and everything else that it would pass on waits behind it.)
    """
    return broker.host, broker.ports["controller"]
