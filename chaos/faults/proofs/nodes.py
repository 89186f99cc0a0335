"""Single looks at the Cassandra nodes from outside.

Each node counts its own heartbeats, and gossip spreads the counts. Two looks at one node's counts show which nodes it
hears: a count that has not risen between them was not heard.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Final

from chaos.faults.proofs.proof import Proof
from chaos.faults.world import own
from sut.adapters.cassandra.probe import CassandraView
from sut.deploy.probes import probe, question
from sut.deploy.topology import Service, Topology

LOOK_S: Final = 1.5
"""Seconds that one look waits for an answer. A node that asks others gives up after 1 s, and says so."""
UNHEARD_S: Final = 4.0
"""Seconds of silence that prove that no heartbeat arrives. A direct one takes 1 s, one through another node 2 s."""


class Nodes:
    """The nodes of one topology. It keeps earlier views, so each injection needs its own."""

    def __init__(self, topology: Topology) -> None:
        self.all = own(topology, "cassandra")
        self._heard: dict[str, CassandraView] = {}
        self._unheard: dict[str, tuple[float, CassandraView]] = {}

    def lost(self, lost: Service) -> Proof:
        """Observe that every other node has heard all others for UNHEARD_S, and nothing of this one."""
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

    def alone(self, node: Service) -> Proof:
        """Observe that this node finds at most one of three replicas; a quorum is two."""
        found = probe.cassandra_replicas(_cql(node), LOOK_S)
        if found is None:
            return Proof(ok=False, text=f"{node.name} does not answer")
        return Proof(found.alive <= 1, f"{node.name} finds {found.alive} of {found.required} replicas")

    def ready(self) -> Proof:
        """Observe that every node answers and finds all replicas."""
        for node in self.all:
            found = probe.cassandra_replicas(_cql(node), LOOK_S)
            if found is None or found.alive < found.required:
                return Proof(ok=False, text=f"{node.name} finds {found.alive if found else 'no'} replicas")
        return Proof(ok=True, text="every node finds every replica")

    def whole(self) -> Proof:
        """Observe that every node answers, finds all replicas, and has heard every node since its first look here."""
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
        ready = self.ready()
        return (
            Proof(ok=True, text=f"all {len(self.all)} nodes hear each other and find every replica") if ready else ready
        )

    def silent(self, node: Service) -> Proof:
        """Observe that the node accepts a question and does not answer."""
        answer = question.ask("cql", _cql(node), LOOK_S / 2)
        return Proof(answer.how == "silence", f"{node.name}: {answer}")

    def _besides(self, names: Collection[str]) -> tuple[Service, ...]:
        return tuple(node for node in self.all if node.name not in names)


def _cql(node: Service) -> tuple[str, int]:
    """Return the node's own address, not a proxy's."""
    return node.host, node.ports["cql"]
