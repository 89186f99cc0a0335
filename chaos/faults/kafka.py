"""The faults on Kafka, the log. Every broker is a controller too."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from typing import Final

from chaos.errors import FaultError
from chaos.faults.mechanisms.crash import Crash, QuorumLoss
from chaos.faults.mechanisms.disk import FullDisk
from chaos.faults.mechanisms.packets import PacketPartition
from chaos.faults.mechanisms.pause import Pause
from chaos.faults.mechanisms.services import OnCluster
from chaos.faults.proofs.brokers import Brokers
from chaos.faults.proofs.proof import Look, Proof
from chaos.faults.world import own
from sut.deploy.topology import Service, Topology

RESTART_S: Final = 10.0
"""Seconds in which a broker's JVM starts on two busy cores, reads its log, and the followers catch up."""
NOTICED_S: Final = 6.0
"""Seconds until the others know a new leader on a busy machine; a broker's session is 2 s without a heartbeat."""


class _Broker(OnCluster):
    """A fault on one broker. The target is its name."""

    kind = "kafka"
    looks = Brokers
    cluster: Brokers
    least = 3
    arm_timeout_s = 30.0


class _Leader(_Broker):
    """A fault on the broker that leads a partition of the log at that moment. The target is the partition."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every partition of the log."""
        partitions = range(topology.settings.partitions) if super().targets(topology) else ()
        return tuple(f"{topology.topic}-{number}" for number in partitions)

    def find_victims(self) -> tuple[Service, ...]:
        """Return the leader of the target partition."""
        return (self.cluster.leader(self.target),)


class _Controller(_Broker):
    """A fault on the node that is the active controller at that moment."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return "controller", if the topology has enough brokers."""
        return ("controller",) if len(own(topology, cls.kind)) >= cls.least else ()

    def find_victims(self) -> tuple[Service, ...]:
        """Return the active controller."""
        return (self.cluster.controller(),)


class KafkaCrash(_Leader, Crash):
    """The Kafka broker that leads a loaded partition dies by SIGKILL while it handles appends.

    Breaks: an append under way may or may not be on the other replicas, and its sender cannot know. Until another
    broker leads, the partitions that it led take no sends and serve no records.
    Proven: its pid is gone and its ports refuse connections. Every other broker has it in sync nowhere and knows
    another leader for each partition.
    Undone: the supervisor may restart it.
    Healed: it has a new pid, and every broker has it in sync in all partitions.
    """

    name = "kafka_crash"
    effect_timeout_s = 12.0
    """A dead broker loses its leaderships 2 s after its last heartbeat; later on a busy machine."""
    heal_timeout_s = 60.0
    usual_heal_s = RESTART_S


class KafkaControllerCrash(_Controller, KafkaCrash):
    """The Kafka node that is the active controller dies by SIGKILL: no node can appoint leaders until it is replaced.

    Breaks: a broker dies together with the node that would notice it. The partitions that it led wait first for the
    election of a new controller.
    Proven: its pid is gone and its ports refuse connections. Another node is the controller. Every other broker has it
    in sync nowhere and knows another leader for each partition.
    Undone: the supervisor may restart it.
    Healed: it has a new pid, and every broker has it in sync in all partitions.
    """

    name = "kafka_controller_crash"

    def symptoms(self) -> Iterable[Look]:
        """Yield looks: another controller is active, and the other brokers have noticed the loss."""
        return partial(self.cluster.succeeded, self.victim), *super().symptoms()


class KafkaPause(_Leader, Pause):
    """The Kafka broker that leads a loaded partition stops (SIGSTOP) and then continues as if no time had passed.

    Breaks: calls to it hang instead of failing. If it is stopped longer than its session, it continues as a zombie. It
    still believes that it leads, and must not confirm a single append.
    Proven: the kernel has it in state T and it does not answer. After 6 s, in which the others must notice, every other
    broker has it in sync nowhere and knows another leader for each partition.
    Undone: SIGCONT.
    Healed: it runs, and every broker, itself included, has it in sync in all partitions.
    """

    name = "kafka_pause"
    heal_timeout_s = 45.0
    usual_heal_s = 4.0

    def inject(self) -> None:
        """Send SIGSTOP and record the time."""
        super().inject()
        self._since_s = time.monotonic()

    def symptoms(self) -> Iterable[Look]:
        """Return one look: the other brokers notice in time."""
        return (self._noticed,)

    def noticed(self) -> Proof:
        """Observe whether the other brokers have noticed the loss."""
        return self.cluster.lost(self.victim)

    def _noticed(self) -> Proof:
        """Return the proof; it holds before NOTICED_S in any case, because the others need that time."""
        seen = self.noticed()
        early = time.monotonic() - self._since_s < NOTICED_S
        return Proof(seen.ok or early, seen.text)


class KafkaControllerPause(_Controller, KafkaPause):
    """The Kafka node that is the active controller stops (SIGSTOP) and then continues as if no time had passed.

    Breaks: no node appoints leaders until the others have elected a new controller. The old one still believes that it
    is the controller, and the quorum must refuse all its decisions.
    Proven: the kernel has it in state T and it does not answer. After 6 s, in which the others must notice, another
    node is the controller.
    Undone: SIGCONT.
    Healed: it runs, and every broker, itself included, has it in sync in all partitions.
    """

    name = "kafka_controller_pause"

    def noticed(self) -> Proof:
        """Observe whether another node is the controller."""
        return self.cluster.succeeded(self.victim)


class KafkaQuorumLoss(_Broker, QuorumLoss):
    """Two of three Kafka nodes die by SIGKILL: nothing can be appended, and no leader can be elected.

    Breaks: an append needs two replicas, so every send waits or fails while it lasts. All waiting must be bounded, and
    nothing that was acknowledged before may be missing afterwards.
    Proven: both pids are gone and all their ports refuse connections, so each partition has one replica left. The
    remaining node answers and is not the controller.
    Undone: the supervisor may restart both.
    Healed: both have new pids, and every broker has all in sync in all partitions.
    """

    name = "kafka_quorum_loss"
    effect_timeout_s = 15.0
    """The remaining node needs a moment to see that it is no longer the controller."""
    heal_timeout_s = 90.0
    usual_heal_s = 2 * RESTART_S


class PartitionKafka(_Broker, PacketPartition):
    """One Kafka broker is cut off from the others, both ways, while clients still reach it.

    Breaks: as a leader it still takes appends that no broker copies, and must confirm none of them. As the controller
    it makes decisions that no broker receives. The others continue without it.
    Proven: packets between it and the others are dropped. Every other broker has it in sync nowhere and knows another
    leader for each partition.
    Undone: packets pass again.
    Healed: every broker, itself included, has it in sync in all partitions.
    """

    name = "partition_kafka"
    ports = ("replication", "controller")
    effect_timeout_s = 15.0
    """2 s until its session ends, or until the others elect a controller first; then new leaders and their metadata."""
    heal_timeout_s = 60.0
    """The longer it was cut off, the more rarely its connections retry."""
    usual_heal_s = 8.0


class PartitionKafkaOneWay(_Leader, PartitionKafka):
    """One Kafka broker's requests to the others are lost while theirs are answered: a follower that cannot follow.

    Breaks: it hears no more from leaders and controller, and its heartbeats are lost. The others can still copy from
    it, so a check from one side finds no problem. The broker is a follower of the target partition and not the
    controller. A broker that leads all partitions and is the controller sends no requests, so the cut would break
    nothing.
    Proven: packets from it to the others are dropped. Every other broker has it in sync nowhere and knows another
    leader for each partition.
    Undone: packets pass again.
    Healed: every broker, itself included, has it in sync in all partitions.
    """

    name = "partition_kafka_one_way"
    one_way = True

    def find_victims(self) -> tuple[Service, ...]:
        """Return the first broker that neither leads the partition nor is the controller. Raises FaultError."""
        busy = (self.cluster.leader(self.target), self.cluster.controller())
        for broker in self.cluster.all:
            if broker not in busy:
                return (broker,)
        raise FaultError(f"{self.target} has no follower besides the controller")


class DiskFull(_Broker, FullDisk):
    """The disk of a Kafka broker is full: the broker cannot write another byte, and goes down.

    Breaks: the broker takes appends that it cannot store. It must confirm none of them and leave its partitions to
    others.
    Proven: no byte is free on its disk. The broker has gone down, or every other broker has it in sync nowhere and
    knows another leader for each partition.
    Undone: the file that fills the disk is removed, and the supervisor may restart the broker.
    Healed: its disk has free space, and every broker, itself included, has it in sync in all partitions.
    """

    name = "disk_full"
    effect_timeout_s = 20.0
    """It goes down at its next write; a follower that lags behind is out of sync after 3 s."""
    heal_timeout_s = 60.0
    usual_heal_s = RESTART_S

    @classmethod
    def why_no_target(cls, topology: Topology) -> str:
        """Return the reason: without root there are no volumes."""
        if own(topology, cls.kind):
            return "needs root: a small disk of its own for a broker is a mount"
        return super().why_no_target(topology)
