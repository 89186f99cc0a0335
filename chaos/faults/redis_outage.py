"""Every Redis data node dies by SIGKILL at once: there is no registry, nobody to promote, and nothing of it is kept.

Breaks: no route can be looked up, no lease renewed, no connection registered, for as long as it lasts; afterwards the
registry is empty. That may cost latency (routes last known, SYNC within a heartbeat), never a message.
Proven: all their pids are gone, all their ports refuse, and most Sentinels believe the master down and see nobody to
promote.
Undone: the supervisor may restart them. Healed when one is master, the others are replicas in step, every Sentinel is
content, and every gateway that held a lease before holds one again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.errors import FaultError
from chaos.faults.fault import Proof, own
from chaos.faults.mechanisms.crash import Crash
from chaos.faults.proofs.observe import LOOK_S, redis_address
from chaos.faults.proofs.redis_master import RedisMasterFault
from sut.deploy.probes import probe
from sut.deploy.topology import Service, Topology


class RedisOutage(Crash, RedisMasterFault):
    """SIGKILL of all data nodes. The Sentinels stay."""

    name = "redis_outage"
    kind = "redis"
    effect_timeout_s = 12.0
    heal_timeout_s = 60.0
    usual_heal_s = 12.0
    """Sentinel looks at what it believes down every second, and at the replicas of a master every ten."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """One, where the data nodes and the Sentinels are ours."""
        return ("redis",) if RedisMasterFault.targets(topology) else ()

    def victims(self) -> tuple[Service, ...]:
        """All of them."""
        return own(self.world.topology, "redis")

    def look_before(self) -> None:
        """There is a master with a replica in step; remember who has a lease there."""
        self._holders = probe.gateway_leases(redis_address(self.find_master()), LOOK_S) or ()

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """Most Sentinels see nobody."""
        return (self._nobody,)

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """A master, replicas in step, content Sentinels, leases."""
        return (*(partial(self._in_line, node) for node in self._victims), self._leased)

    def _nobody(self) -> Proof:
        topology = self.world.topology
        sentinels = topology.of_kind("sentinel")
        views = [probe.sentinel_view(redis_address(s), topology.redis_master, LOOK_S) for s in sentinels]
        blind = sum(view is not None and "o_down" in view.flags and not view.replicas for view in views)
        return Proof(blind * 2 > len(sentinels), f"{blind} of {len(sentinels)} Sentinels see no master and no replica")

    def _in_line(self, node: Service) -> Proof:
        role = probe.redis_role(redis_address(node), LOOK_S)
        if role is not None and role.role == "master":
            return Proof(bool(role.replicas), f"{node.name} is master of {len(role.replicas)}")
        return self.follows(node)

    def _leased(self) -> Proof:
        try:
            held = probe.gateway_leases(redis_address(self.find_master()), LOOK_S) or ()
        except FaultError as error:
            return Proof(ok=False, text=str(error))
        missing = [name for name in self._holders if name not in held]
        if missing:
            return Proof(ok=False, text=f"no lease of {', '.join(missing)} yet")
        return Proof(ok=True, text=f"{len(self._holders)} gateways hold leases again")
