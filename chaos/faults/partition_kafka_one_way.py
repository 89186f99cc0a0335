"""What one Kafka broker asks the others is lost, while what they ask it is answered: a follower that cannot follow.

Breaks: it hears no more from leaders and controller and says no more that it lives; the others can still copy from it,
so those who look from one side find all well.
Proven: packets from it to the others are dropped; every other broker has it in sync nowhere and knows another leader
for each partition.
Undone: packets pass again. Healed when every broker, itself included, has it in sync in all partitions.
"""

from __future__ import annotations

from chaos.errors import FaultError
from chaos.faults.partition_kafka import PartitionKafka
from chaos.faults.proofs.brokers import Brokers, partitions
from sut.deploy.topology import Service, Topology


class PartitionKafkaOneWay(PartitionKafka):
    """Packets of a follower of the target, a partition, that is not the controller either, to the others are dropped.

    Whoever leads everything and controls has nothing to ask: cutting that off would break nothing.
    """

    name = "partition_kafka_one_way"
    one_way = True

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every partition of the log."""
        return partitions(topology)

    def victim(self) -> Service:
        """The first such follower."""
        brokers = Brokers(self.world.topology)
        busy = {brokers.leader(self.target).name, brokers.controller().name}
        for broker in brokers.all:
            if broker.name not in busy:
                return broker
        raise FaultError(f"{self.target} has no follower besides the controller")
