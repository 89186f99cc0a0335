"""What the faults share that kill one of our own processes with SIGKILL."""

from __future__ import annotations

import os
import signal
from typing import ClassVar

from chaos.errors import FaultError
from chaos.faults.base import Fault, Proof, in_turn
from chaos.faults.observe import gone, incarnation, living_pid, reborn, refuses
from chaos.undo import Release, Undo
from sut.deploy.topology import ServiceKind, Topology


class Crash(Fault):
    """SIGKILL of one process, which then stays dead until the heal: the supervisor is told not to restart it."""

    kind: ClassVar[ServiceKind]

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every service of the kind."""
        return tuple(service.name for service in topology.of_kind(cls.kind))

    def arm(self) -> tuple[Undo, ...]:
        """Remember who is there now."""
        self._service = self.world.topology.service(self.target)
        self._pid = living_pid(self.world, self.target)
        self._incarnation = incarnation(self._service)
        return (Release(self.target),)

    def inject(self) -> None:
        """Hold, then kill: no restart can slip in between."""
        self.world.processes.hold(self.target)
        kill(self._pid)

    def effective(self) -> Proof:
        """The pid is gone and the ports refuse."""
        return in_turn(lambda: gone(self._pid), lambda: refuses(self._service))

    def healed(self) -> Proof:
        """Another pid answers a ping, as a newer incarnation."""
        return reborn(self.world, self._service, old_pid=self._pid, older_than=self._incarnation)


def kill(pid: int) -> None:
    """SIGKILL. Raises FaultError when the process is gone already: then somebody else killed it."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        raise FaultError(f"pid {pid} was gone before it could be killed") from None
