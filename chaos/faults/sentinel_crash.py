"""One Sentinel of several dies by SIGKILL: a minority, so the others must go on as before.

Breaks: clients that ask it get no answer and must ask another; a failover now needs every Sentinel that is left.
Proven: its pid is gone and its port refuses; each of the others says that it still has a quorum (SENTINEL CKQUORUM),
and they name the same master.
Undone: the supervisor may restart it. Healed when a new pid answers, and every Sentinel sees every other again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chaos.errors import FaultError
from chaos.faults.fault import Proof, own
from chaos.faults.mechanisms.crash import Crash
from chaos.faults.proofs.observe import LOOK_S, redis_address
from sut.deploy.probes import health, probe
from sut.deploy.topology import Topology


class SentinelCrash(Crash):
    """SIGKILL of one Sentinel."""

    name = "sentinel_crash"
    kind = "sentinel"
    usual_heal_s = 2.0

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every Sentinel, where one is a minority."""
        return super().targets(topology) if len(own(topology, "sentinel")) > 2 else ()

    def look_before(self) -> None:
        """They are all content."""
        content = self._content()
        if not content:
            raise FaultError(content.text)

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """The others have a quorum and one opinion."""
        return (self._others_agree,)

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """They are all content again."""
        return (self._content,)

    def _others_agree(self) -> Proof:
        topology = self.world.topology
        masters = set()
        for sentinel in topology.of_kind("sentinel"):
            if sentinel.name == self.target:
                continue
            said = probe.sentinel_quorum(redis_address(sentinel), topology.redis_master, LOOK_S)
            view = probe.sentinel_view(redis_address(sentinel), topology.redis_master, LOOK_S)
            if view is None or said is None or not said.startswith("OK"):
                return Proof(ok=False, text=f"{sentinel.name}: {said or 'no answer'}")
            masters.add(view.master)
        agreed = len(masters) == 1
        return Proof(agreed, f"the others have a quorum and {'agree' if agreed else 'do not agree'} on the master")

    def _content(self) -> Proof:
        for sentinel in self.world.topology.of_kind("sentinel"):
            if problem := health.problem(self.world.topology, sentinel, LOOK_S):
                return Proof(ok=False, text=f"{sentinel.name} {problem}")
        return Proof(ok=True, text="every Sentinel sees every other and the master")
