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
from functools import partial
from types import MappingProxyType
from typing import Final

from chaos.errors import FaultError
from chaos.faults.fault import Proof, in_turn
from chaos.faults.mechanisms.crash import kill
from chaos.faults.proofs.observe import gone, living_pid, redis_address, refuses
from chaos.faults.proofs.redis_master import RedisMasterFault
from chaos.faults.undo import Release, Replicate, Undo
from sut.adapters.redis.replication import cut_replication

MAX_LAG_S: Final = 5.0


class RedisFailover(RedisMasterFault):
    """SIGKILL of whoever is master."""

    name = "redis_failover"
    options = MappingProxyType({"lag_s": 0.0})

    def arm(self) -> tuple[Undo, ...]:
        """Find the master, and a replica in step with it."""
        self._master = self.find_master()
        self._pid = living_pid(self.world, self._master.name)
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
        return in_turn(partial(gone, self._pid), partial(refuses, self._master), partial(self.promoted, self._master))

    def healed(self) -> Proof:
        """The old master is a replica in step, and every Sentinel is content."""
        return self.follows(self._master)
