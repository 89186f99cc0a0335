"""The Redis master dies by SIGKILL and Sentinel promotes the replica, which may lack the last writes.

Breaks: registrations and leases have nowhere to go until the promotion; what the master took during the last `lag_s`
seconds is forgotten, for the replica never saw it: replication is cut at the master that long before the kill.
Proven: the old master's pid is gone and its port refuses; another node says that it is master, and so do most of
the Sentinels.
Undone: replicas are accepted again, the supervisor may restart the old master. Healed when it is back as a replica in
step with the new master, and the Sentinels see it.
"""

from __future__ import annotations

import time
from collections import Counter
from types import MappingProxyType
from typing import Final

from chaos.errors import FaultError
from chaos.faults.base import Fault, Proof, in_turn
from chaos.faults.crash import kill
from chaos.faults.observe import LOOK_S, gone, living_pid, redis_address, refuses
from chaos.undo import Release, Replicate, Undo
from sut.adapters.redis_replication import cut_replication
from sut.deploy import health, probe
from sut.deploy.topology import Service, Topology

MAX_LAG_S: Final = 5.0


class RedisFailover(Fault):
    """SIGKILL of whoever is master. The target is the name by which Sentinel knows the master."""

    name = "redis_failover"
    effect_timeout_s = 12.0
    """Sentinel: 1.5 s until it believes that the master is dead, up to 3 s for an election, sometimes two."""
    heal_timeout_s = 25.0
    options = MappingProxyType({"lag_s": 0.0})

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """The one master, where there is a replica and a Sentinel to promote it."""
        possible = len(topology.of_kind("redis")) > 1 and topology.of_kind("sentinel")
        return (topology.redis_master,) if possible else ()

    def arm(self) -> tuple[Undo, ...]:
        """Find the master, and a replica in step with it."""
        self._master = self._named_by_sentinels()
        self._pid = living_pid(self.world, self._master.name)
        role = probe.redis_role(redis_address(self._master), LOOK_S)
        if role is None or role.role != "master" or not role.replicas:
            raise FaultError(f"{self._master.name} is no master with a replica in step")
        return Replicate(self._master.name), Release(self._master.name)

    def inject(self) -> None:
        """Cut the replication, wait out the lag, hold, kill."""
        lag_s = min(self.chosen["lag_s"], MAX_LAG_S)
        if lag_s > 0:
            if not cut_replication(redis_address(self._master)):
                raise FaultError(f"{self._master.name} does not answer: its replication could not be cut")
            time.sleep(lag_s)
        self.world.processes.hold(self._master.name)
        kill(self._pid)

    def effective(self) -> Proof:
        """Dead, and a successor that the Sentinels agree on."""
        return in_turn(lambda: gone(self._pid), lambda: refuses(self._master), self._promoted)

    def healed(self) -> Proof:
        """The old master is a replica in step, and every Sentinel is content."""
        role = probe.redis_role(redis_address(self._master), LOOK_S)
        if role is None or role.role != "slave" or not role.linked:
            seen = "does not answer" if role is None else f"is a {role.role}{'' if role.linked else ', not in step'}"
            return Proof(ok=False, text=f"{self._master.name} {seen}")
        for sentinel in self.world.topology.of_kind("sentinel"):
            if problem := health.problem(self.world.topology, sentinel, LOOK_S):
                return Proof(ok=False, text=f"{sentinel.name} {problem}")
        return Proof(ok=True, text=f"{self._master.name} is a replica in step; every Sentinel sees it")

    def _promoted(self) -> Proof:
        try:
            successor = self._named_by_sentinels()
        except FaultError as error:
            return Proof(ok=False, text=str(error))
        if successor.name == self._master.name:
            return Proof(ok=False, text=f"the Sentinels still name {successor.name}")
        role = probe.redis_role(redis_address(successor), LOOK_S)
        promoted = role is not None and role.role == "master"
        text = f"{successor.name} is master, say it and most Sentinels"
        return Proof(promoted, text if promoted else f"{successor.name} is no master yet")

    def _named_by_sentinels(self) -> Service:
        """Whom most of all Sentinels name."""
        topology = self.world.topology
        sentinels = topology.of_kind("sentinel")
        views = (probe.sentinel_view(redis_address(s), topology.redis_master, LOOK_S) for s in sentinels)
        named = Counter(view.master for view in views if view is not None).most_common(1)
        if not named or named[0][1] * 2 <= len(sentinels):
            raise FaultError("no majority of the Sentinels names a master")
        for service in topology.of_kind("redis"):
            if redis_address(service) == named[0][0]:
                return service
        raise FaultError(f"the Sentinels name a master that is not ours: {named[0][0]}")
