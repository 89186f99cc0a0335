"""The faults on a Redis Cluster: a master that dies, and a slot that moves."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Final

from chaos.errors import FaultError
from chaos.faults.mechanisms.crash_behind import CrashBehind
from chaos.faults.mechanisms.services import OnServices
from chaos.faults.proofs.observe import redis_address
from chaos.faults.proofs.proof import Look
from chaos.faults.proofs.shards import Shards
from chaos.faults.undo import SlotHome, Undo
from chaos.faults.world import World, own
from sut.adapters.redis.cluster import moving
from sut.deploy.topology import Service, Topology

MAX_HALFWAY_S: Final = 5.0


class _OnCluster(OnServices):
    """A fault on a Redis Cluster, whose nodes report each other. The target is the kind in the plural."""

    kind = "shard"

    def __init__(self, world: World, target: str, options: Mapping[str, float]) -> None:
        super().__init__(world, target, options)
        self.shards = Shards(world.topology)

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return one target, if there is a cluster of ours."""
        return (f"{cls.kind}s",) if own(topology, cls.kind) else ()


class RedisClusterFailover(_OnCluster, CrashBehind):
    """The fullest master of a Redis Cluster dies by SIGKILL and the others promote a replica, which may lack writes.

    Breaks: nothing in its slots can be read or written until the promotion. The other slots work. Replication is cut
    `lag_s` seconds before the kill, so the replica never sees what the master took in that time.
    Proven: the old master's pid is gone and its ports refuse connections. A replica of it says that it is master, most
    other nodes tell clients so, and it takes a write in one of those slots.
    Undone: replicas are accepted again, and the supervisor may restart the old master.
    Healed: a new pid is a replica in step. Every node says that the cluster is ok and sees all nodes.
    """

    name = "redis_cluster_failover"
    effect_timeout_s = 15.0
    """The others take 4 s to believe that it is dead, then a second for the election, sometimes for two."""
    heal_timeout_s = 30.0

    def find_victims(self) -> tuple[Service, ...]:
        """Return the master with most keys, which has a replica in step. Raises FaultError."""
        master = self.shards.fullest()
        self._replicas = self.shards.replicas(master)
        if not self._replicas:
            raise FaultError(f"{master.name} has no replica in step")
        self._tags = self.shards.tags(master)
        return (master,)

    def symptoms(self) -> Iterable[Look]:
        """Return one look: a replica is promoted."""
        return (partial(self.shards.promoted, self.victim, self._replicas, self._tags),)

    def recovery(self) -> Iterable[Look]:
        """Return looks: the old master follows, and the cluster is whole."""
        return partial(self.shards.follows, self.victim), self.shards.whole


class RedisSlotMoved(_OnCluster):
    """A slot with users' keys moves to another master of a Redis Cluster while it is in use.

    Breaks: for `halfway_s` seconds its master answers every command on these keys with ASK, then with MOVED. A client
    that does not follow, or repeats what was done, loses routes or notes them twice.
    Proven: every node tells clients (CLUSTER SLOTS) that the other master has the slot. That one holds keys of it, and
    the old one holds none.
    Undone: the slot is moved back, from whatever state the move is in.
    Healed: every node tells clients of its former master. That one holds keys of it, and the other holds none. Every
    node says that the cluster is ok.
    """

    name = "redis_slot_moved"
    effect_timeout_s = 10.0
    options = MappingProxyType({"halfway_s": 1.0})

    def find_victims(self) -> tuple[Service, ...]:
        """Return the fullest master, from which the slot comes, and the one that gets it. Raises FaultError."""
        source = self.shards.fullest()
        self._slot = self.shards.fullest_slot(source)
        others = [master for master in self.shards.masters() if master != source]
        if not others:
            raise FaultError("there is no other master")
        return source, others[0]

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo step: the slot goes home."""
        return (SlotHome(self._slot, self.victim.name),)

    def inject(self) -> None:
        """Move the slot, with a stop halfway. Raises FaultError."""
        login = self.world.topology.redis_login("operator")
        target = redis_address(self.victims[1])
        try:
            moving.carry(self._slot, target, login)
            time.sleep(min(self.chosen["halfway_s"], MAX_HALFWAY_S))
            moving.carry(self._slot, target, login)  # keys that came meanwhile
            moving.settle(self._slot, target, login)
        except moving.Unavailable as error:
            raise FaultError(f"slot {self._slot} could not be moved: {error}") from None

    def damage(self) -> Iterable[Look]:
        """Return one look: the other master has the slot."""
        return (partial(self.shards.has_slot, self._slot, self.victims[1], without=self.victim),)

    def repair(self) -> Iterable[Look]:
        """Return one look: its former master has the slot."""
        return (partial(self.shards.has_slot, self._slot, self.victim, without=self.victims[1]),)

    def recovery(self) -> Iterable[Look]:
        """Return one look: the cluster is whole."""
        return (self.shards.whole,)
