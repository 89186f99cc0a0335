"""A Cassandra node dies by SIGKILL, with reads and writes in its hands.

Breaks: each row has two replicas left, exactly a quorum; what it coordinated gets no answer, and whether it was written
its client cannot know.
Proven: its pid is gone and its ports refuse; the others hear each other's heartbeats and its no more.
Undone: the supervisor may restart it. Healed when a new pid answers, all nodes hear each other again and each finds
every replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.faults.fault import Proof, own
from chaos.faults.mechanisms.crash import Crash
from chaos.faults.proofs.nodes import RESTART_S, Nodes
from sut.deploy.topology import Topology


class CassandraCrash(Crash):
    """SIGKILL of one node."""

    name = "cassandra_crash"
    kind = "cassandra"
    effect_timeout_s = 20.0
    """Heartbeats are a second apart, and further on a busy machine."""
    heal_timeout_s = 90.0
    arm_timeout_s = 60.0
    usual_heal_s = RESTART_S

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every node, where the others are a quorum."""
        return super().targets(topology) if len(own(topology, "cassandra")) > 2 else ()

    def look_before(self) -> None:
        """All nodes are well."""
        self._nodes = Nodes(self.world.topology)
        self._nodes.must_answer()

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """The others do not hear it."""
        return (partial(self._nodes.unheard, self._victims[0]),)

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """They all hear each other."""
        return (self._nodes.whole,)
