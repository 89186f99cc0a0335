"""Single looks at the Redis data nodes and at what the Sentinels report of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from functools import partial

from chaos.errors import FaultError
from chaos.faults.proofs.observe import LOOK_S, redis_address
from chaos.faults.proofs.proof import Proof, in_turn
from sut.adapters.redis.admin import SentinelView
from sut.adapters.redis.replication import takes_writes
from sut.adapters.redis.tilt import tilt_problem
from sut.deploy.probes import health, probe
from sut.deploy.topology import Service, Topology


class Sentinels:
    """The Sentinels of one topology, and the data nodes that they watch."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._all = topology.of_kind("sentinel")
        self._login = topology.redis_login("operator")
        self._sentinel_login = topology.sentinel_login("operator")

    def master(self) -> Service:
        """Return the master, which has a replica in step.

        Raises FaultError if there is no such master, or if a Sentinel in TILT cannot promote a replica.
        """
        if tilt := self._tilt():
            raise FaultError(tilt)
        master = self._named()
        role = probe.redis_role(redis_address(master), LOOK_S, self._login)
        if role is None or role.role != "master" or not role.replicas:
            raise FaultError(f"{master.name} is no master with a replica in step")
        return master

    def promoted(self, old: Service) -> Proof:
        """Observe that another node says that it is master, and most of the Sentinels say so too."""
        try:
            successor = self._named()
        except FaultError as error:
            return Proof(ok=False, text=str(error))
        if successor.name == old.name:
            return Proof(ok=False, text=self._tilt() or f"the Sentinels still name {successor.name}")
        role = probe.redis_role(redis_address(successor), LOOK_S, self._login)
        promoted = role is not None and role.role == "master"
        text = f"{successor.name} is master, say it and most Sentinels"
        return Proof(promoted, text if promoted else f"{successor.name} is no master yet")

    def follows(self, old: Service) -> Proof:
        """Observe that the old master is a replica in step and every Sentinel sees it."""
        role = probe.redis_role(redis_address(old), LOOK_S, self._login)
        if role is None or role.role != "slave" or not role.linked:
            seen = "does not answer" if role is None else f"is a {role.role}{'' if role.linked else ', not in step'}"
            return Proof(ok=False, text=f"{old.name} {seen}")
        content = self.content()
        return Proof(ok=True, text=f"{old.name} is a replica in step; every Sentinel sees it") if content else content

    def in_line(self, node: Service) -> Proof:
        """Observe that the node is the master of some replica, or a replica in step."""
        role = probe.redis_role(redis_address(node), LOOK_S, self._login)
        if role is not None and role.role == "master":
            return Proof(bool(role.replicas), f"{node.name} is master of {len(role.replicas)}")
        return self.follows(node)

    def split(self, old: Service) -> Proof:
        """Observe that the old master still claims its role and takes a write, while another node was promoted."""
        return in_turn(partial(self._still_master, old), partial(self._takes_a_write, old), partial(self.promoted, old))

    def blind(self) -> Proof:
        """Observe that most of the Sentinels believe the master down and see no replica."""
        seen = [view is not None and "s_down" in view.flags and not view.replicas for _, view in self._views()]
        text = f"{sum(seen)} of {len(seen)} Sentinels see no master and no replica"
        return Proof(sum(seen) * 2 > len(seen), text)

    def content(self) -> Proof:
        """Observe that every Sentinel sees every other and the master."""
        for sentinel in self._all:
            if problem := health.problem(self._topology, sentinel, LOOK_S):
                return Proof(ok=False, text=f"{sentinel.name} {problem}")
        return Proof(ok=True, text="every Sentinel sees every other and the master")

    def agree(self, *, without: str) -> Proof:
        """Observe that each of the other Sentinels reports a quorum, and that they name the same master."""
        masters = set()
        for sentinel, view in self._views():
            if sentinel.name == without:
                continue
            name, login = self._topology.redis_master, self._sentinel_login
            said = probe.sentinel_quorum(redis_address(sentinel), name, LOOK_S, login)
            if view is None or said is None or not said.startswith("OK"):
                return Proof(ok=False, text=f"{sentinel.name}: {said or 'no answer'}")
            masters.add(view.master)
        agreed = len(masters) == 1
        return Proof(agreed, f"the others have a quorum and {'agree' if agreed else 'do not agree'} on the master")

    def leases(self) -> Collection[str]:
        """Return the gateways that hold a lease at the master. Raises FaultError if there is no master."""
        return probe.gateway_leases(redis_address(self.master()), LOOK_S, self._login) or ()

    def leased(self, holders: Collection[str]) -> Proof:
        """Observe that each of these gateways holds a lease."""
        try:
            held = self.leases()
        except FaultError as error:
            return Proof(ok=False, text=str(error))
        if missing := [name for name in holders if name not in held]:
            return Proof(ok=False, text=f"no lease of {', '.join(missing)} yet")
        return Proof(ok=True, text=f"{len(holders)} gateways hold leases again")

    def _views(self) -> Iterator[tuple[Service, SentinelView | None]]:
        """Yield each Sentinel with its view of the master; None if it does not answer."""
        for sentinel in self._all:
            name, login = self._topology.redis_master, self._sentinel_login
            yield sentinel, probe.sentinel_view(redis_address(sentinel), name, LOOK_S, login)

    def _tilt(self) -> str | None:
        """Return a line that names the Sentinels in TILT, which promote no replica; None if there are none."""
        return tilt_problem({sentinel.name: view for sentinel, view in self._views()})

    def _named(self) -> Service:
        """Return the master that most of all Sentinels name. Raises FaultError if there is none."""
        named = Counter(view.master for _, view in self._views() if view is not None).most_common(1)
        if not named or named[0][1] * 2 <= len(self._all):
            raise FaultError("no majority of the Sentinels names a master")
        for service in self._topology.of_kind("redis"):
            if redis_address(service) == named[0][0]:
                return service
        raise FaultError(f"the Sentinels name a master that is not ours: {named[0][0]}")

    def _still_master(self, node: Service) -> Proof:
        seen = probe.redis_role(redis_address(node), LOOK_S, self._login)
        said = "does not answer" if seen is None else f"says role {seen.role}"
        return Proof(seen is not None and seen.role == "master", f"{node.name} {said}")

    def _takes_a_write(self, node: Service) -> Proof:
        taken = takes_writes(redis_address(node), LOOK_S, self._login)
        return Proof(taken, f"it {'takes' if taken else 'does not take'} a write")
