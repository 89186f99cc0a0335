"""Single looks at the nodes of a Redis Cluster and at what they report of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from chaos.errors import FaultError
from chaos.faults.proofs.observe import LOOK_S, redis_address
from chaos.faults.proofs.proof import Proof
from sut.adapters.redis.cluster import admin
from sut.adapters.redis.cluster.admin import ClusterView
from sut.adapters.redis.cluster.shards import slots_of_tags
from sut.adapters.redis.replication import takes_writes
from sut.deploy.probes import health, probe
from sut.deploy.topology import Service, Topology


class Shards:
    """The nodes of one topology's Redis Cluster."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._all = topology.of_kind("shard")
        self._login = topology.redis_login("operator")

    def masters(self) -> list[Service]:
        """Return the masters that have slots. Raises FaultError if the nodes do not agree or one is not healthy."""
        if not (whole := self.whole()):
            raise FaultError(whole.text)
        seen = {frozenset(member.address for member in view.masters) for _, view in self._views() if view is not None}
        if len(seen) != 1:
            raise FaultError("the nodes do not agree who is a master")
        return [node for node in self._all if redis_address(node) in next(iter(seen))]

    def fullest(self) -> Service:
        """Return the master with most keys. Raises FaultError."""
        try:
            sizes = {node.name: admin.size(redis_address(node), LOOK_S, self._login) for node in self.masters()}
        except admin.Unavailable as error:
            raise FaultError(str(error)) from None
        return self._topology.service(max(sizes, key=lambda name: sizes[name]))

    def tags(self, master: Service) -> dict[int, int]:
        """Return the users' tags in this master's slots: tag -> slot. Raises FaultError if there are none."""
        try:
            told = admin.ranges(redis_address(master), LOOK_S, self._login)
        except admin.Unavailable as error:
            raise FaultError(str(error)) from None
        own = [one for one in told if one.master == redis_address(master)]
        slots = {
            tag: slot for tag, slot in slots_of_tags().items() if any(one.first <= slot <= one.last for one in own)
        }
        if not slots:
            raise FaultError(f"{master.name} has no slots of users")
        return slots

    def fullest_slot(self, master: Service) -> int:
        """Return the slot of users that has most keys at this master. Raises FaultError if it has none."""
        try:
            slot, keys = admin.fullest(redis_address(master), list(self.tags(master).values()), LOOK_S, self._login)
        except admin.Unavailable as error:
            raise FaultError(str(error)) from None
        if not keys:
            raise FaultError(f"{master.name} has no users' keys")
        return slot

    def replicas(self, master: Service) -> list[Service]:
        """Return the replicas that are connected to this master now."""
        role = probe.redis_role(redis_address(master), LOOK_S, self._login)
        following = role.replicas if role is not None else ()
        return [node for node in self._all if redis_address(node) in following]

    def promoted(self, old: Service, candidates: Sequence[Service], tags: Mapping[int, int]) -> Proof:
        """Observe that a replica of the old master says that it is master, takes a write and is told to clients.

        `tags`: users' tags in the old master's slots, with their slots.
        """
        tag, slot = next(iter(tags.items()))
        for node in candidates:
            role = probe.redis_role(redis_address(node), LOOK_S, self._login)
            if role is None or role.role != "master":
                continue
            others = [other for other in self._all if other.name not in (old.name, node.name)]
            told = [probe.slot_owner(redis_address(other), slot, LOOK_S, self._login) for other in others]
            if told.count(redis_address(node)) * 2 <= len(told):
                return Proof(ok=False, text=f"{node.name} says that it is master, and most nodes do not tell so yet")
            taken = takes_writes(redis_address(node), LOOK_S, self._login, tag=str(tag))
            verb = "takes" if taken else "does not take"
            return Proof(taken, f"{node.name} is master, say it and most nodes; it {verb} a write")
        return Proof(ok=False, text=f"no replica of {old.name} is master yet")

    def follows(self, old: Service) -> Proof:
        """Observe that the node is a replica in step."""
        role = probe.redis_role(redis_address(old), LOOK_S, self._login)
        if role is None or role.role != "slave" or not role.linked:
            seen = "does not answer" if role is None else f"is a {role.role}{'' if role.linked else ', not in step'}"
            return Proof(ok=False, text=f"{old.name} {seen}")
        return Proof(ok=True, text=f"{old.name} is a replica in step")

    def has_slot(self, slot: int, master: Service, *, without: Service) -> Proof:
        """Observe that every node tells clients that this master has the slot, with keys, and the other has none."""
        for node in self._all:
            told = probe.slot_owner(redis_address(node), slot, LOOK_S, self._login)
            if told != redis_address(master):
                return Proof(ok=False, text=f"{node.name} tells {told} of slot {slot}, not {master.name}")
        here, there = (probe.slot_keys(redis_address(one), slot, LOOK_S, self._login) for one in (master, without))
        text = (
            f"all {len(self._all)} nodes name {master.name} for slot {slot}; it has {here} keys, {without.name} {there}"
        )
        return Proof(bool(here) and there == 0, text)

    def whole(self) -> Proof:
        """Observe that the cluster is ok at every node, sees all nodes, and each replica is in step."""
        for node in self._all:
            if problem := health.problem(self._topology, node, LOOK_S):
                return Proof(ok=False, text=f"{node.name} {problem}")
        return Proof(ok=True, text="every node says that the cluster is ok and whole")

    def _views(self) -> Iterator[tuple[Service, ClusterView | None]]:
        for node in self._all:
            yield node, probe.cluster_view(redis_address(node), LOOK_S, self._login)
