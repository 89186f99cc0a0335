"""The faults on Cassandra, the store."""

from __future__ import annotations

from typing import Final

from chaos.faults.mechanisms.crash import Crash, QuorumLoss
from chaos.faults.mechanisms.packets import PacketPartition
from chaos.faults.mechanisms.pause import Pause
from chaos.faults.mechanisms.services import OnCluster
from chaos.faults.proofs.nodes import Nodes

RESTART_S: Final = 30.0
"""Seconds in which a node's JVM starts on two busy cores, replays its commit log, and is heard by the others."""


class _Node(OnCluster):
    """A fault on one node of a cluster in which the other nodes form a quorum."""

    kind = "cassandra"
    looks = Nodes
    least = 3
    effect_timeout_s = 20.0
    """Heartbeats are a second apart, and further apart on a busy machine."""
    arm_timeout_s = 60.0


class CassandraCrash(_Node, Crash):
    """A Cassandra node dies by SIGKILL while it handles reads and writes.

    Breaks: each row has two replicas left, exactly a quorum. Requests that the node coordinated get no answer, and
    their client cannot know whether they were written.
    Proven: its pid is gone and its ports refuse connections. The others hear each other's heartbeats and no longer its
    own.
    Undone: the supervisor may restart it.
    Healed: it has a new pid, all nodes hear each other again, and each finds every replica.
    """

    name = "cassandra_crash"
    heal_timeout_s = 90.0
    usual_heal_s = RESTART_S


class CassandraPause(_Node, Pause):
    """A Cassandra node stops (SIGSTOP) and then continues as if no time had passed.

    Breaks: calls that it coordinates hang instead of failing. So do calls that wait for it as a replica, until the
    others give it up. It must get the writes that it missed by hints and by read repair.
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

    Breaks: nothing can be stored, so sequencers must bound what they hold back and commit nothing. Messages that are
    not in memory cannot be read.
    Proven: both pids are gone and all their ports refuse connections. The remaining node finds one of three replicas,
    where a quorum is two.
    Undone: the supervisor may restart both.
    Healed: both have new pids, all nodes hear each other again, and each finds every replica.
    """

    name = "cassandra_quorum_loss"
    effect_timeout_s = 30.0
    """The third node believes the two dead after some 17 s without a heartbeat, and from then on says so at once.

    Before that it asks them and gives up after 1 s, or later if the cores are busy.
    """
    heal_timeout_s = 120.0
    usual_heal_s = 1.5 * RESTART_S


class PartitionCassandra(_Node, PacketPartition):
    """One Cassandra node is cut off from the others, both ways, while clients still reach it.

    Breaks: writes that it coordinates cannot reach a quorum and must not be confirmed. Writes at the others miss one
    replica. A client must not simply trust the node that answers fastest.
    Proven: packets between it and the others are dropped. The others hear each other's heartbeats and no longer its
    own.
    Undone: packets pass again.
    Healed: all nodes hear each other again, and each finds every replica.
    """

    name = "partition_cassandra"
    ports = ("storage",)
    heal_timeout_s = 90.0
    """The longer it was cut off, the more rarely its connections retry."""
    usual_heal_s = 12.0


class PartitionCassandraOneWay(PartitionCassandra):
    """Packets from one Cassandra node to the others are lost, while their packets to it arrive.

    Breaks: it believes the others alive and continues to coordinate, but its requests get no answer. The others believe
    it dead, and their writes still arrive there, unconfirmed.
    Proven: packets from it to the others are dropped. The others hear each other's heartbeats and no longer its own.
    Undone: packets pass again.
    Healed: all nodes hear each other again, and each finds every replica.
    """

    name = "partition_cassandra_one_way"
    one_way = True
