"""The Kafka node that is the active controller stops (SIGSTOP) and goes on later as if no time had passed.

Breaks: nobody appoints leaders until the others have elected a new controller; when the old one goes on it still
believes that it controls, and the quorum must refuse all that it decides.
Proven: the kernel has it in state T and it does not answer; once it was held long enough for the others to notice,
another node is the controller.
Undone: SIGCONT. Healed when it runs and every broker, itself included, has it in sync in all partitions.
"""

from __future__ import annotations

from chaos.faults.fault import Proof
from chaos.faults.kafka_pause import KafkaPause
from chaos.faults.proofs.brokers import Brokers, partitions
from sut.deploy.topology import Service, Topology


class KafkaControllerPause(KafkaPause):
    """SIGSTOP of whoever is the controller at that moment; SIGCONT after the hold."""

    name = "kafka_controller_pause"

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """The one controller."""
        return ("controller",) if partitions(topology) else ()

    def victim(self) -> Service:
        """The controller."""
        self._brokers = Brokers(self.world.topology)
        return self._brokers.controller()

    def gone_on(self) -> Proof:
        """Another node controls."""
        return self._brokers.succeeded(self._victim)
