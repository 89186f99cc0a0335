"""One Cassandra node is cut off from the others, both ways, while clients still reach it.

Breaks: what it coordinates cannot reach a quorum and must not be confirmed; what the others write misses one replica;
a client that trusts the node that answers it fastest is wrong.
Proven: packets between it and the others are dropped; the others hear each other's heartbeats and its no more.
Undone: packets pass again. Healed when all nodes hear each other again and each finds every replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.faults.fault import Proof
from chaos.faults.mechanisms.packet_partition import PacketPartition
from chaos.faults.proofs.nodes import Nodes


class PartitionCassandra(PacketPartition):
    """Packets between one node's storage port and each of the others' are dropped."""

    name = "partition_cassandra"
    kind = "cassandra"
    ports = ("storage",)
    effect_timeout_s = 20.0
    heal_timeout_s = 90.0
    """Its connections try again ever more rarely, the longer the longer it was cut off."""
    arm_timeout_s = 60.0
    usual_heal_s = 12.0

    def look_before(self) -> None:
        """All nodes are well."""
        self._nodes = Nodes(self.world.topology)
        self._nodes.must_answer()

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """The others do not hear it."""
        return (partial(self._nodes.unheard, self._victim),)

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """They all hear each other."""
        return (self._nodes.whole,)
