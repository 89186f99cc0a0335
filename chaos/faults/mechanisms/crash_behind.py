"""A crash of a Redis master whose replicas are behind: what it took last is lost with it."""

from __future__ import annotations

import time
from types import MappingProxyType
from typing import Final

from chaos.errors import FaultError
from chaos.faults.mechanisms.crash import Crash
from chaos.faults.proofs.observe import redis_address
from chaos.faults.undo import Replicate, Undo
from sut.adapters.redis.replication import cut_replication
from sut.deploy.logins import REPLICA

MAX_LAG_S: Final = 5.0


class CrashBehind(Crash):
    """SIGKILL of a Redis master whose replicas lack what it took in the last `lag_s` seconds."""

    options = MappingProxyType({"lag_s": 0.0})

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo steps, with one that lets replicas follow again."""
        return Replicate(self.victim.name), *super().prepare()

    def inject(self) -> None:
        """Cut the replication, wait for the lag, then kill. Raises FaultError."""
        lag_s = min(self.chosen["lag_s"], MAX_LAG_S)
        if lag_s > 0:
            login = self.world.topology.redis_login("operator")
            replica_user = REPLICA if login else "default"
            if not cut_replication(redis_address(self.victim), login, replica_user):
                raise FaultError(f"{self.victim.name} does not answer: its replication could not be cut")
            time.sleep(lag_s)
        super().inject()
