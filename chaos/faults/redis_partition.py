"""The Redis master is cut off from its replicas and all Sentinels, while clients still reach it: a split brain.

Breaks: the old master goes on taking writes that nobody else will ever see, beside the new one, until its clients find
out that Sentinel says otherwise; all that it took meanwhile is discarded when it comes back.
Proven: packets from each replica and each Sentinel to it were dropped; it says role master and takes a write; another
node says that it is master, and so do most of the Sentinels.
Undone: packets pass again. Healed when it is a replica in step with the new master, and the Sentinels see it.
"""

from __future__ import annotations

from functools import partial

import psutil

from chaos.errors import FaultError
from chaos.faults.fault import Proof, in_turn, own
from chaos.faults.proofs.observe import LOOK_S, dropping, living_pid, redis_address, redis_role_is
from chaos.faults.proofs.redis_master import RedisMasterFault
from chaos.faults.undo import Allow, Undo
from sut.adapters.redis.replication import takes_writes
from sut.deploy.errors import PacketError
from sut.deploy.net.packets import Way


class RedisPartition(RedisMasterFault):
    """All packets from replicas and Sentinels to the master, and its answers to those it knows, are dropped."""

    name = "redis_partition"
    needs = frozenset({"packets"})
    heal_timeout_s = 45.0
    usual_heal_s = 22.0
    """Measured: 20 s. Sentinel looks every 10 s, and waits until it has claimed the wrong role for 8 s."""

    def arm(self) -> tuple[Undo, ...]:
        """Find the master, and who talks to it."""
        topology = self.world.topology
        self._master = self.find_master()
        self._pid = living_pid(self.world, self._master.name)
        others = [s for s in (*own(topology, "redis"), *own(topology, "sentinel")) if s.name != self._master.name]
        self._others = {service.gid: service for service in others}
        if 0 in self._others or len(self._others) < len(others):
            raise FaultError("the packets of Redis and Sentinel cannot be told apart: they have no groups of their own")
        self._pids = {living_pid(self.world, service.name) for service in others}
        return (Allow(self._reason),)

    def inject(self) -> None:
        """First what goes to the master, so that no connection opens any more; then its answers over the open ones."""
        master = redis_address(self._master)
        try:
            self.world.packets.drop(self._reason, [Way(gid, master) for gid in self._others])
            self.world.packets.drop(self._reason, self._answers())
        except PacketError as error:
            raise FaultError(str(error)) from None

    def effective(self) -> Proof:
        """Packets dropped, and two masters."""
        return in_turn(
            partial(dropping, self.world, self._reason, {gid: s.name for gid, s in self._others.items()}),
            partial(redis_role_is, self._master, "master"),
            self._takes_a_write,
            partial(self.promoted, self._master),
        )

    def healed(self) -> Proof:
        """One master; the old one is a replica in step, and every Sentinel is content."""
        return self.follows(self._master)

    @property
    def _reason(self) -> str:
        return f"{self.name} {self.target}"

    def _answers(self) -> list[Way]:
        """The master's packets over each open connection from a replica or Sentinel."""
        master = redis_address(self._master)
        open_ones = (one for pid in self._pids for one in psutil.Process(pid).net_connections("tcp4"))
        return [Way(self._master.gid, (one.laddr.ip, one.laddr.port)) for one in open_ones if one.raddr == master]

    def _takes_a_write(self) -> Proof:
        taken = takes_writes(redis_address(self._master), LOOK_S)
        return Proof(taken, f"it {'takes' if taken else 'does not take'} a write")
