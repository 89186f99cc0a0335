"""The Kafka broker that leads a loaded partition stops (SIGSTOP) and goes on later as if no time had passed.

Breaks: calls to it hang instead of failing; held longer than its session, it is a zombie when it goes on: it still
believes that it leads, and must not confirm a single append.
Proven: the kernel has it in state T and it does not answer; once it was held long enough for the others to notice,
every other broker has it in sync nowhere and knows another leader for each partition.
Undone: SIGCONT. Healed when it runs and every broker, itself included, has it in sync in all partitions.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from chaos.faults.fault import Proof
from chaos.faults.mechanisms.pause import Pause
from chaos.faults.proofs.brokers import Brokers, partitions
from sut.deploy.topology import Service, Topology

NOTICED_S: Final = 6.0
"""A broker's session (2 s without a heartbeat), a new leader, and the news of it, on a busy machine."""


class KafkaPause(Pause):
    """SIGSTOP of whoever leads the target, a partition, at that moment; SIGCONT after the hold."""

    name = "kafka_pause"
    kind = "kafka"
    heal_timeout_s = 45.0
    arm_timeout_s = 30.0
    usual_heal_s = 4.0

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every partition of the log."""
        return partitions(topology)

    def victim(self) -> Service:
        """The leader."""
        self._brokers = Brokers(self.world.topology)
        return self._brokers.leader(self.target)

    def look_before(self) -> None:
        """All brokers are well."""
        self._brokers.must_be_whole()

    def inject(self) -> None:
        """SIGSTOP; remember when."""
        super().inject()
        self._since_s = time.monotonic()

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """It is silent, and by and by the others go on without it."""
        return (partial(self._brokers.silent, self._victim), self._noticed)

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """It is back in sync."""
        return (self._brokers.whole,)

    def _noticed(self) -> Proof:
        """What the others say must be so only when they have had the time to notice."""
        seen = self.gone_on()
        early = time.monotonic() - self._since_s < NOTICED_S
        return Proof(seen.ok or early, seen.text)

    def gone_on(self) -> Proof:
        """The others go on without it."""
        return self._brokers.let_go(self._victim)
