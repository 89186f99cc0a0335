"""What the faults share that take a Redis master out: finding it, seeing another promoted, seeing it back in line."""

from __future__ import annotations

from collections import Counter

from chaos.errors import FaultError
from chaos.faults.fault import Fault, Proof, own
from chaos.faults.proofs.observe import LOOK_S, redis_address
from sut.adapters.redis.admin import SentinelView
from sut.adapters.redis.tilt import tilt_problem
from sut.deploy.probes import health, probe
from sut.deploy.topology import Service, Topology


class RedisMasterFault(Fault):
    """Something happens to whoever is master. The target is the name by which Sentinel knows the master."""

    effect_timeout_s = 15.0
    """Sentinel: 4 s until it believes that the master is dead, up to 3 s for an election, sometimes two."""
    heal_timeout_s = 25.0

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """The one master, where there is a replica and a Sentinel to promote it, all ours."""
        possible = len(own(topology, "redis")) > 1 and own(topology, "sentinel")
        return (topology.redis_master,) if possible else ()

    def find_master(self) -> Service:
        """The master, with a replica in step with it. Raises FaultError when there is none, or nobody to promote it."""
        if tilt := tilt_problem(self._views()):
            raise FaultError(tilt)
        master = self._named_by_sentinels()
        role = probe.redis_role(redis_address(master), LOOK_S)
        if role is None or role.role != "master" or not role.replicas:
            raise FaultError(f"{master.name} is no master with a replica in step")
        return master

    def promoted(self, old: Service) -> Proof:
        """Another node says that it is master, and so do most of the Sentinels."""
        try:
            successor = self._named_by_sentinels()
        except FaultError as error:
            return Proof(ok=False, text=str(error))
        if successor.name == old.name:
            tilt = tilt_problem(self._views())
            return Proof(ok=False, text=tilt or f"the Sentinels still name {successor.name}")
        role = probe.redis_role(redis_address(successor), LOOK_S)
        promoted = role is not None and role.role == "master"
        text = f"{successor.name} is master, say it and most Sentinels"
        return Proof(promoted, text if promoted else f"{successor.name} is no master yet")

    def follows(self, old: Service) -> Proof:
        """The old master is a replica in step, nobody but the new one is master, and every Sentinel is content."""
        role = probe.redis_role(redis_address(old), LOOK_S)
        if role is None or role.role != "slave" or not role.linked:
            seen = "does not answer" if role is None else f"is a {role.role}{'' if role.linked else ', not in step'}"
            return Proof(ok=False, text=f"{old.name} {seen}")
        for sentinel in self.world.topology.of_kind("sentinel"):
            if problem := health.problem(self.world.topology, sentinel, LOOK_S):
                return Proof(ok=False, text=f"{sentinel.name} {problem}")
        return Proof(ok=True, text=f"{old.name} is a replica in step; every Sentinel sees it")

    def _views(self) -> dict[str, SentinelView | None]:
        topology = self.world.topology
        return {
            sentinel.name: probe.sentinel_view(redis_address(sentinel), topology.redis_master, LOOK_S)
            for sentinel in topology.of_kind("sentinel")
        }

    def _named_by_sentinels(self) -> Service:
        """Whom most of all Sentinels name."""
        topology, views = self.world.topology, self._views()
        named = Counter(view.master for view in views.values() if view is not None).most_common(1)
        if not named or named[0][1] * 2 <= len(views):
            raise FaultError("no majority of the Sentinels names a master")
        for service in topology.of_kind("redis"):
            if redis_address(service) == named[0][0]:
                return service
        raise FaultError(f"the Sentinels name a master that is not ours: {named[0][0]}")
