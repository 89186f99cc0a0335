"""The Kafka node that is the active controller dies by SIGKILL: nobody can appoint leaders until another one is.

Breaks: a broker dies together with whoever would have to notice; its own leaderships wait for the election of a new
controller first.
Proven: its pid is gone and its ports refuse; another node is the controller, and every other broker has it in sync
nowhere and knows another leader for each partition.
Undone: the supervisor may restart it. Healed when a new pid answers and every broker has it in sync in all partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.faults.fault import Proof
from chaos.faults.kafka_crash import KafkaCrash
from chaos.faults.proofs.brokers import Brokers, partitions
from sut.deploy.topology import Service, Topology


class KafkaControllerCrash(KafkaCrash):
    """SIGKILL of whoever is the controller at that moment."""

    name = "kafka_controller_crash"

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """The one controller."""
        return ("controller",) if partitions(topology) else ()

    def victims(self) -> tuple[Service, ...]:
        """The controller."""
        self._brokers = Brokers(self.world.topology)
        return (self._brokers.controller(),)

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """Another controller, and the others go on without it."""
        return (partial(self._brokers.succeeded, self._victims[0]), *super().symptoms())
