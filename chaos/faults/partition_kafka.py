"""One Kafka broker is cut off from the others, both ways, while clients still reach it.

Breaks: as a leader it goes on taking appends that nobody copies, and must confirm none of them; as the controller it
decides what nobody hears; the others go on without it.
Proven: packets between it and the others are dropped; every other broker has it in sync nowhere and knows another
leader for each partition.
Undone: packets pass again. Healed when every broker, itself included, has it in sync in all partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.faults.fault import Proof
from chaos.faults.mechanisms.packet_partition import PacketPartition
from chaos.faults.proofs.brokers import Brokers


class PartitionKafka(PacketPartition):
    """Packets between one broker and each of the others, as brokers and as controllers, are dropped."""

    name = "partition_kafka"
    kind = "kafka"
    ports = ("replication", "controller")
    effect_timeout_s = 15.0
    """2 s until its session is over, or until the others elect a controller first; then new leaders and the news."""
    heal_timeout_s = 60.0
    """Its connections try again ever more rarely, the longer the longer it was cut off."""
    arm_timeout_s = 30.0
    usual_heal_s = 8.0

    def look_before(self) -> None:
        """All brokers are well."""
        self._brokers = Brokers(self.world.topology)
        self._brokers.must_be_whole()

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """The others go on without it."""
        return (partial(self._brokers.let_go, self._victim),)

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """It is back in sync."""
        return (self._brokers.whole,)
