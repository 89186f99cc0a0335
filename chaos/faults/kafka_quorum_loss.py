"""Two of three Kafka nodes die by SIGKILL: nothing can be appended (two replicas must have it), nobody can be elected.

Breaks: every send waits or fails, for as long as it lasts; all who wait must be bounded, and nothing that was
acknowledged before may be missing after.
Proven: both pids are gone and all their ports refuse, so each partition has one replica left of the two that an append
needs; the node that is left answers and is not the controller.
Undone: the supervisor may restart both. Healed when new pids answer and every broker has all in sync in all partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.faults.fault import Proof
from chaos.faults.mechanisms.quorum_loss import QuorumLoss
from chaos.faults.proofs.brokers import RESTART_S, Brokers


class KafkaQuorumLoss(QuorumLoss):
    """SIGKILL of two of three brokers."""

    name = "kafka_quorum_loss"
    kind = "kafka"
    effect_timeout_s = 15.0
    """The one that is left needs a moment to see that it controls no more."""
    heal_timeout_s = 90.0
    arm_timeout_s = 30.0
    usual_heal_s = 2 * RESTART_S

    def look_before(self) -> None:
        """All brokers are well."""
        self._brokers = Brokers(self.world.topology)
        self._brokers.must_be_whole()

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """The third cannot do anything alone."""
        return (partial(self._brokers.without_quorum, self.survivor),)

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """All are back in sync."""
        return (self._brokers.whole,)
