"""Two of three Cassandra nodes die by SIGKILL: no read or write at LOCAL_QUORUM can succeed.

Breaks: nothing is stored any more, so sequencers must bound what they hold back and commit nothing; what was not in
memory cannot be read.
Proven: both pids are gone and all their ports refuse; the node that is left finds one of three replicas, where a
quorum is two.
Undone: the supervisor may restart both. Healed when new pids answer, all nodes hear each other again and each finds
every replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.faults.fault import Proof
from chaos.faults.mechanisms.quorum_loss import QuorumLoss
from chaos.faults.proofs.nodes import RESTART_S, Nodes


class CassandraQuorumLoss(QuorumLoss):
    """SIGKILL of two of three nodes."""

    name = "cassandra_quorum_loss"
    kind = "cassandra"
    effect_timeout_s = 30.0
    """The third believes the two dead after some 17 s without a heartbeat, and then says so at once; before that it
    asks them and gives up after 1 s, or later where the cores are busy."""
    heal_timeout_s = 120.0
    arm_timeout_s = 60.0
    usual_heal_s = 1.5 * RESTART_S

    def look_before(self) -> None:
        """All nodes are well."""
        self._nodes = Nodes(self.world.topology)
        self._nodes.must_answer()

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """The third finds itself alone."""
        return (partial(self._nodes.fewer, self.survivor, at_most=1),)

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """They all hear each other."""
        return (self._nodes.whole,)
