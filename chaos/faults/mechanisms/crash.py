"""Crashes and stops: of one service, of all services of a kind at once or in turn, or of two nodes of three."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable
from functools import partial
from itertools import combinations
from typing import ClassVar, Final

from chaos.errors import FaultError
from chaos.faults.mechanisms.services import OnCluster, OnPeers, OnServices
from chaos.faults.proofs.observe import gone, reborn, refuses, replaced
from chaos.faults.proofs.proof import Look, Proof
from chaos.faults.undo import Release, Undo
from chaos.faults.world import own
from sut.deploy.topology import Service, Topology

AIM_S: Final = 2.0
"""How long a crash may wait for the moment at which it hurts most."""


class Crash(OnServices):
    """SIGKILL of the victims. They stay dead until the heal: the supervisor is told not to restart them."""

    signum: ClassVar[signal.Signals] = signal.SIGKILL

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo steps: the supervisor may restart the victims."""
        return tuple(Release(service.name) for service in self.victims)

    def inject(self) -> None:
        """Hold all victims, then kill them, so that no restart can come in between."""
        for service in self.victims:
            self.world.processes.hold(service.name)
        self.aim()
        for pid in self.pids.values():
            try:
                os.kill(pid, self.signum)
            except ProcessLookupError:
                raise FaultError(f"pid {pid} was gone before it could be killed") from None

    def aim(self) -> None:
        """Wait for the moment at which the kill hurts most, for AIM_S at most. Never raises."""

    def damage(self) -> Iterable[Look]:
        """Yield looks: the pids are gone and the ports refuse connections."""
        for service in self.victims:
            yield partial(gone, self.pids[service.name])
            yield partial(refuses, service)

    def repair(self) -> Iterable[Look]:
        """Return looks: each victim has a new pid."""
        return (partial(replaced, self.world, service, self.pids[service.name]) for service in self.victims)


class PeerCrash(OnPeers, Crash):
    """SIGKILL of one service of the chat system."""

    def recovery(self) -> Iterable[Look]:
        """Return looks: each victim answers as a newer incarnation."""
        topology = self.world.topology
        return (partial(reborn, topology, service, self.incarnations[service.name]) for service in self.victims)


class CrashOfAll(PeerCrash):
    """SIGKILL of all services of a kind at once. The target is the kind in the plural."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return one target, the kind in the plural, if the topology has such services."""
        return (f"{cls.kind}s",) if own(topology, cls.kind) else ()

    def find_victims(self) -> tuple[Service, ...]:
        """Return all services of the kind."""
        return own(self.world.topology, self.kind)


class PeerStop(PeerCrash):
    """SIGTERM of one service of the chat system, which ends in good order and stays away until the heal."""

    signum = signal.SIGTERM
    effect_timeout_s = 15.0
    """The longest grace of a kind is 4 s (sut/deploy/kinds.py); a busy machine needs a multiple."""


class RollingDeploy(CrashOfAll):
    """SIGTERM of all services of a kind, one after the other: the next one stops when the last one is back."""

    signum = signal.SIGTERM
    effect_timeout_s = 60.0
    usual_heal_s = 18.0
    """It takes this time before the hold instead: of three gateways each drains for 4 s and is back 2 s later."""
    _left: list[Service]

    def inject(self) -> None:
        """Stop the first. Raises FaultError."""
        self._left = list(self.victims)
        self._stop(self._left[0])

    def effective(self) -> Proof:
        """Observe how far it is, and stop the next when the last one is back."""
        if not self._left:
            return self.healed()
        victim = self._left[0]
        if not (ended := gone(self.pids[victim.name])):
            return ended
        self.world.processes.release(victim.name)
        back = reborn(self.world.topology, victim, self.incarnations[victim.name])
        if not back:
            return back
        self._left.pop(0)
        if not self._left:
            return self.healed()
        self._stop(self._left[0])
        return Proof(ok=False, text=f"{len(self._left)} of {len(self.victims)} are not replaced yet")

    def _stop(self, victim: Service) -> None:
        self.world.processes.hold(victim.name)
        try:
            os.kill(self.pids[victim.name], self.signum)
        except ProcessLookupError:
            raise FaultError(f"{victim.name} was gone before it could be stopped") from None


class QuorumLoss(OnCluster, Crash):
    """SIGKILL of two of three nodes of a cluster. The target is their names, joined by "+"."""

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Return every pair of three nodes."""
        nodes = own(topology, cls.kind)
        return tuple(f"{one.name}+{two.name}" for one, two in combinations(nodes, 2)) if len(nodes) == 3 else ()

    def find_victims(self) -> tuple[Service, ...]:
        """Return the two nodes that the target names."""
        return tuple(self.world.topology.service(name) for name in self.target.split("+"))

    def symptoms(self) -> Iterable[Look]:
        """Return one look: the third node has no quorum."""
        survivor = next(node for node in own(self.world.topology, self.kind) if node not in self.victims)
        return (partial(self.cluster.alone, survivor),)
