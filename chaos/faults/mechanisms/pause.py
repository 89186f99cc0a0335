"""What the faults share that stop a process with SIGSTOP and let it go on with SIGCONT."""

from __future__ import annotations

import os
import signal
from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar

from chaos.errors import FaultError
from chaos.faults.fault import Fault, Proof, in_turn, own
from chaos.faults.proofs.observe import in_state, living_pid
from chaos.faults.undo import Continue, Undo
from sut.deploy.topology import Service, ServiceKind, Topology


class Pause(Fault):
    """A stopped process: its sockets stay open and silent, and when it goes on it believes that no time has passed."""

    kind: ClassVar[ServiceKind]

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every service of the kind."""
        return tuple(service.name for service in own(topology, cls.kind))

    def victim(self) -> Service:
        """Whom this injection stops. Raises FaultError when that cannot be told."""
        return self.world.topology.service(self.target)

    def look_before(self) -> None:
        """Remember what the later looks compare with. Raises FaultError when something is not healthy."""

    @abstractmethod
    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """What shows that it bit, beside the state: at least that it does not answer."""

    @abstractmethod
    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """What shows that it is whole again, beside the state: at least that it answers."""

    def arm(self) -> tuple[Undo, ...]:
        """Remember who is there now."""
        self._victim = self.victim()
        self._pid = living_pid(self.world, self._victim.name)
        self.look_before()
        return (Continue(self._pid),)

    def inject(self) -> None:
        """SIGSTOP."""
        try:
            os.kill(self._pid, signal.SIGSTOP)
        except ProcessLookupError:
            raise FaultError(f"pid {self._pid} was gone before it could be stopped") from None

    def effective(self) -> Proof:
        """State T, and the symptoms."""
        return in_turn(partial(in_state, self._pid, stopped=True), *self.symptoms())

    def healed(self) -> Proof:
        """Running, and all that the fault asks of it."""
        return in_turn(partial(in_state, self._pid, stopped=False), *self.recovery())
