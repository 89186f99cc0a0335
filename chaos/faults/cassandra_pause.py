"""A Cassandra node stops (SIGSTOP) and goes on later as if no time had passed.

Breaks: what it coordinates hangs instead of failing, and so does what waits for its answer as a replica until the
others have given it up; what it missed must come to it by hints and by repair while reading.
Proven: the kernel has it in state T and it does not answer; the others hear each other's heartbeats and its no more.
Undone: SIGCONT. Healed when it runs, all nodes hear each other again and each finds every replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.faults.fault import Proof, own
from chaos.faults.mechanisms.pause import Pause
from chaos.faults.proofs.nodes import Nodes
from sut.deploy.topology import Topology


class CassandraPause(Pause):
    """SIGSTOP of one node, SIGCONT after the hold."""

    name = "cassandra_pause"
    kind = "cassandra"
    effect_timeout_s = 20.0
    heal_timeout_s = 60.0
    arm_timeout_s = 60.0
    usual_heal_s = 6.0

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every node, where the others are a quorum."""
        return super().targets(topology) if len(own(topology, "cassandra")) > 2 else ()

    def look_before(self) -> None:
        """All nodes are well."""
        self._nodes = Nodes(self.world.topology)
        self._nodes.must_answer()

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """It is silent and the others do not hear it."""
        return (partial(self._nodes.silent, self._victim), partial(self._nodes.unheard, self._victim))

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """They all hear each other."""
        return (self._nodes.whole,)
