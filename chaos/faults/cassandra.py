"""The faults on Cassandra, the store."""

from __future__ import annotations

from typing import Final

from chaos.faults.mechanisms.crash import Crash, QuorumLoss
from chaos.faults.mechanisms.packets import PacketPartition
from chaos.faults.mechanisms.pause import Pause
from chaos.faults.mechanisms.services import OnCluster
from chaos.faults.proofs.nodes import Nodes

RESTART_S: Final = 30.0
"""A node's JVM starts on two busy cores, replays its commit log, and the others hear it."""


class _Node(OnCluster):
    """One node, where the others are a quorum."""

    kind = "cassandra"
    looks = Nodes
    least = 3
    effect_timeout_s = 20.0
    """Heartbeats are a second apart, and further on a busy machine."""
    arm_timeout_s = 60.0


class CassandraCrash(_Node, Crash):
    """A Cassandra node dies by SIGKILL while it handles reads and writes.

    Breaks: each row has two replicas left, exactly a quorum. What the node coordinated gets no answer, and its client
    cannot know whether it was written.
    Proven: its pid is gone and its ports refuse connections. The others hear each other's heartbeats and no longer its
    own.
    Undone: the supervisor may restart it.
    Healed: it has a new pid, all nodes hear each other again, and each finds every replica.
    """

    name = "cassandra_crash"
    heal_timeout_s = 90.0
    usual_heal_s = RESTART_S


class CassandraPause(_Node, Pause):
    """A Cassandra node stops (SIGSTOP) and then goes on as if no time had passed.

    Breaks: what it coordinates hangs instead of failing. So does what waits for it as a replica, until the others give
    it up. What it missed must reach it by hints and by read repair.
    Proven: the kernel has it in state T and it does not answer. The others hear each other's heartbeats and no longer
    its own.
    Undone: SIGCONT.
    Healed: it runs, all nodes hear each other again, and each finds every replica.
    """

    name = "cassandra_pause"
    heal_timeout_s = 60.0
    usual_heal_s = 6.0


class CassandraQuorumLoss(_Node, QuorumLoss):
    """Two of three Cassandra nodes die by SIGKILL: no read or write at LOCAL_QUORUM can succeed.

    Breaks: nothing is stored any more, so sequencers must bound what they hold back and commit nothing. Messages that
    are not in memory cannot be read.
    Proven: both pids are gone and all their ports refuse connections. The node that is left finds one of three
    replicas, where a quorum is two.
    Undone: the supervisor may restart both.
    Healed: both have new pids, all nodes hear each other again, and each finds every replica.
    """

    name = "cassandra_quorum_loss"
    effect_timeout_s = 30.0
    """The third node believes the two dead after some 17 s without a heartbeat, and from then on says so at once.
    Before that it asks them and gives up after 1 s, or later where the cores are busy."""
    heal_timeout_s = 120.0
    usual_heal_s = 1.5 * RESTART_S


class PartitionCassandra(_Node, PacketPartition):
    """One Cassandra node is cut off from the others, both ways, while clients still reach it.

    Breaks: what it coordinates cannot reach a quorum and must not be confirmed. What the others write misses one
    replica. A client must not simply trust the node that answers fastest.
    Proven: packets between it and the others are dropped. The others hear each other's heartbeats and no longer its
    own.
    Undone: packets pass again.
    Healed: all nodes hear each other again, and each finds every replica.
    """

    name = "partition_cassandra"
    ports = ("storage",)
    heal_timeout_s = 90.0
    """Its connections retry ever more rarely, the longer it was cut off."""
    usual_heal_s = 12.0


class PartitionCassandraOneWay(PartitionCassandra):
    """What one Cassandra node sends to the others is lost, while what they send arrives.

    Breaks: it takes the others for alive and goes on coordinating, but no answer comes to what it asks. The others
    believe it dead, and what they write still arrives there, unconfirmed.
    Proven: packets from it to the others are dropped. The others hear each other's heartbeats and no longer its own.
    Undone: packets pass again.
    Healed: all nodes hear each other again, and each finds every replica.
    """

    name = "partition_cassandra_one_way"
    one_way = True
