"""Single looks at the Cassandra nodes from outside, each as a Proof: what the faults on nodes are proven by.

Each node counts its own heartbeat and gossip carries the counts about, so who hears whom shows in two looks at one
node's counts: what has not risen between them was not heard.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from chaos.errors import FaultError
from chaos.faults.fault import Proof, own
from sut.adapters.cassandra.probe import CassandraView
from sut.deploy.probes import probe, question
from sut.deploy.topology import Service, Topology

LOOK_S: Final = 1.5
"""How long one look waits for an answer: a node that asks others gives up after 1 s, and says so."""
UNHEARD_S: Final = 4.0
"""Without a heartbeat for this long there is none: they come each second, by way of others in two."""
RESTART_S: Final = 30.0
"""A node's JVM on two busy cores, its commit log replayed, and the others hearing it."""


class Nodes:
    """The Cassandra nodes of one topology. Remembers what it saw: one for each injection."""

    def __init__(self, topology: Topology) -> None:
        self.all = own(topology, "cassandra")
        self._heard: dict[str, CassandraView] = {}
        self._unheard: dict[str, tuple[float, CassandraView]] = {}

    def unheard(self, lost: Service) -> Proof:
        """The others have heard nothing of this one for a while, and of all others."""
        longest_s = UNHEARD_S
        for node in self._besides([lost.name]):
            now = probe.cassandra_view(_cql(node), LOOK_S)
            if now is None:
                return Proof(ok=False, text=f"{node.name} does not answer")
            since_s, before = self._unheard.setdefault(node.name, (time.monotonic(), now))
            waited_s = time.monotonic() - since_s
            heard = now.heard_since(before)
            if lost.host in heard:
                self._unheard[node.name] = (time.monotonic(), now)
                return Proof(ok=False, text=f"{node.name} still hears {lost.name}")
            others = {other.host for other in self._besides([lost.name])}
            if waited_s < UNHEARD_S or not others <= heard:
                return Proof(ok=False, text=f"{node.name} has listened for {waited_s:.1f} s")
            longest_s = max(longest_s, waited_s)
        return Proof(ok=True, text=f"the others hear each other and have not heard {lost.name} for {longest_s:.0f} s")

    def fewer(self, asked: Service, *, at_most: int) -> Proof:
        """This node finds no more than so many of three replicas."""
        found = probe.cassandra_replicas(_cql(asked), LOOK_S)
        if found is None:
            return Proof(ok=False, text=f"{asked.name} does not answer")
        text = f"{asked.name} finds {found.alive} of {found.required} replicas"
        return Proof(found.alive <= at_most, text)

    def whole(self) -> Proof:
        """Every node answers, finds all replicas, and has heard every heartbeat since it was first asked here."""
        views = {}
        for node in self.all:
            now = probe.cassandra_view(_cql(node), LOOK_S)
            if now is None:
                self._heard.pop(node.name, None)
                return Proof(ok=False, text=f"{node.name} does not answer")
            views[node.name] = now
            self._heard.setdefault(node.name, now)
        for name, now in views.items():
            heard = now.heard_since(self._heard[name])
            if missing := [node.name for node in self.all if node.host not in heard]:
                return Proof(ok=False, text=f"{name} does not hear {', '.join(missing)}")
        for node in self.all:
            found = probe.cassandra_replicas(_cql(node), LOOK_S)
            if found is None or found.alive < found.required:
                return Proof(ok=False, text=f"{node.name} finds {found.alive if found else 'no'} replicas")
        return Proof(ok=True, text=f"all {len(self.all)} nodes hear each other and find every replica")

    def silent(self, node: Service) -> Proof:
        """It accepts a question and does not answer."""
        answer = question.ask("cql", _cql(node), LOOK_S / 2)
        return Proof(answer.how == "silence", f"{node.name}: {answer}")

    def must_answer(self) -> None:
        """Raises FaultError when one does not answer or misses a replica: two faults at once could cost the quorum."""
        for node in self.all:
            found = probe.cassandra_replicas(_cql(node), LOOK_S)
            if found is None or found.alive < found.required:
                raise FaultError(f"{node.name} finds {found.alive if found else 'no'} replicas")

    def _besides(self, names: Collection[str]) -> tuple[Service, ...]:
        return tuple(node for node in self.all if node.name not in names)


def _cql(node: Service) -> tuple[str, int]:
    """Its own address, not a proxy's."""
    return node.host, node.ports["cql"]
