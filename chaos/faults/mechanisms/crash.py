"""What the faults share that kill processes with SIGKILL: one, or several at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from chaos.errors import FaultError
from chaos.faults.fault import Fault, Proof, in_turn, own
from chaos.faults.proofs.observe import gone, living_pid, refuses, replaced
from chaos.faults.undo import Release, Undo
from sut.deploy.topology import Service, ServiceKind, Topology


class Crash(Fault):
    """SIGKILL of one process, which then stays dead until the heal: the supervisor is told not to restart it."""

    kind: ClassVar[ServiceKind]

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every service of the kind."""
        return tuple(service.name for service in own(topology, cls.kind))

    def victims(self) -> tuple[Service, ...]:
        """Whom this injection kills. Raises FaultError when that cannot be told."""
        return (self.world.topology.service(self.target),)

    def look_before(self) -> None:
        """Remember what the later looks compare with. Raises FaultError when something is not healthy."""

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """What else shows that it bit, beside the dead process."""
        return ()

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """What shows that it is whole again, beside the new process."""
        return ()

    def arm(self) -> tuple[Undo, ...]:
        """Remember who is there now."""
        self._victims = self.victims()
        self._pids = {service.name: living_pid(self.world, service.name) for service in self._victims}
        self.look_before()
        return tuple(Release(service.name) for service in self._victims)

    def inject(self) -> None:
        """Hold, then kill: no restart can slip in between."""
        for service in self._victims:
            self.world.processes.hold(service.name)
        for pid in self._pids.values():
            kill(pid)

    def effective(self) -> Proof:
        """The pids are gone, the ports refuse, and the symptoms show."""
        deaths: list[Callable[[], Proof]] = []
        for service in self._victims:
            deaths += (partial(gone, self._pids[service.name]), partial(refuses, service))
        return in_turn(*deaths, *self.symptoms())

    def healed(self) -> Proof:
        """Other pids, and all that the fault asks of them."""
        births = (partial(replaced, self.world, service, self._pids[service.name]) for service in self._victims)
        return in_turn(*births, *self.recovery())


def kill(pid: int) -> None:
    """SIGKILL. Raises FaultError when the process is gone already: then somebody else killed it."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        raise FaultError(f"pid {pid} was gone before it could be killed") from None
