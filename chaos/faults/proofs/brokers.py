"""Single looks at the Kafka brokers from outside.

A broker that was stopped or cut off reports outdated state, so all the others are asked about it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from chaos.errors import FaultError
from chaos.faults.proofs.observe import LOOK_S
from chaos.faults.proofs.proof import Proof
from chaos.faults.world import own
from sut.adapters.kafka.probe import KafkaView
from sut.deploy.probes import probe, question
from sut.deploy.topology import Service, Topology


class Brokers:
    """The brokers of one topology; each is a controller too."""

    def __init__(self, topology: Topology) -> None:
        self._topic = topology.topic
        self.all = own(topology, "kafka")
        self._named = {service.index + 1: service for service in self.all}

    def leader(self, partition: str) -> Service:
        """Return the broker that leads a partition. Raises FaultError if no broker knows a leader."""
        number = int(partition.removeprefix(f"{self._topic}-"))
        for broker in self.all:
            view = self._view(broker)
            if view is not None and number in view.leaders:
                return self._named[view.leaders[number]]
        raise FaultError(f"no broker leads {partition}")

    def controller(self, *, without: Collection[str] = ()) -> Service:
        """Return the active controller, as reported by the brokers not in `without`.

        Raises FaultError if there is none.
        """
        for broker in self._besides(without):
            node = probe.kafka_controller(_controller(broker), LOOK_S)
            if node is not None and node in self._named:
                return self._named[node]
        raise FaultError("no node is the controller")

    def whole(self) -> Proof:
        """Observe that every broker answers, sees all alive, and sees all partitions led and all replicas in sync."""
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

    def lost(self, lost: Service) -> Proof:
        """Observe that every other broker has this one in sync nowhere, and knows another leader for each partition."""
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
        """Observe that the other brokers report a controller that is not the old one."""
        try:
            now = self.controller(without=[old.name])
        except FaultError as error:
            return Proof(ok=False, text=str(error))
        return Proof(now.name != old.name, f"{now.name} is the controller")

    def alone(self, broker: Service) -> Proof:
        """Observe that the last broker answers and is not the controller: without a quorum there is none."""
        view = self._view(broker)
        if view is None:
            return Proof(ok=False, text=f"{broker.name} does not answer")
        node = probe.kafka_controller(_controller(broker), LOOK_S)
        if node is not None:
            return Proof(ok=False, text=f"{broker.name} is still the controller")
        return Proof(ok=True, text=f"{broker.name} answers and is not the controller")

    def silent(self, broker: Service) -> Proof:
        """Observe that the broker accepts a question and does not answer."""
        answer = question.ask("client", _client(broker), LOOK_S)
        return Proof(answer.how == "silence", f"{broker.name}: {answer}")

    def ready(self) -> Proof:
        """Observe the same as `whole`: a broker that is out of sync must not be the only one left."""
        return self.whole()

    def _besides(self, names: Collection[str]) -> tuple[Service, ...]:
        return tuple(broker for broker in self.all if broker.name not in names)

    def _view(self, broker: Service) -> KafkaView | None:
        return probe.kafka_view(_client(broker), LOOK_S, self._topic)

    def _names(self, nodes: Iterable[int]) -> str:
        return ", ".join(self._named[node].name if node in self._named else f"node {node}" for node in sorted(nodes))


def _client(broker: Service) -> tuple[str, int]:
    """Return the broker's own address, not a proxy's."""
    return broker.host, broker.ports["client"]


def _controller(broker: Service) -> tuple[str, int]:
    """Return the address at which the broker answers for the quorum, if it is the controller.

    At its client port it forwards the question to the controller. If that one is stopped, everything else that this
    broker forwards waits behind the question.
    """
    return broker.host, broker.ports["controller"]
