"""The Kafka broker that leads a loaded partition dies by SIGKILL, with appends in its hands.

Breaks: an append under way is on the other replicas or is not, and its sender cannot know; until another broker leads,
nobody takes sends or hands out records for the partitions that it led.
Proven: its pid is gone and its ports refuse; every other broker has it in sync nowhere and knows another leader for
each partition.
Undone: the supervisor may restart it. Healed when a new pid answers and every broker has it in sync in all partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.faults.fault import Proof
from chaos.faults.mechanisms.crash import Crash
from chaos.faults.proofs.brokers import RESTART_S, Brokers, partitions
from sut.deploy.topology import Service, Topology


class KafkaCrash(Crash):
    """SIGKILL of whoever leads the target, a partition, at that moment."""

    name = "kafka_crash"
    kind = "kafka"
    effect_timeout_s = 12.0
    """A dead broker loses its leaderships 2 s after its last heartbeat; later on a busy machine."""
    heal_timeout_s = 60.0
    arm_timeout_s = 30.0
    usual_heal_s = RESTART_S

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every partition of the log."""
        return partitions(topology)

    def victims(self) -> tuple[Service, ...]:
        """The leader."""
        self._brokers = Brokers(self.world.topology)
        return (self._brokers.leader(self.target),)

    def look_before(self) -> None:
        """All brokers are well."""
        self._brokers.must_be_whole()

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """The others go on without it."""
        return (partial(self._brokers.let_go, self._victims[0]),)

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """It is back in sync."""
        return (self._brokers.whole,)
