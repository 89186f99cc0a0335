"""Pauses: SIGSTOP of one service, and SIGCONT after the hold."""

from __future__ import annotations

import os
import signal
from abc import abstractmethod
from collections.abc import Iterable
from functools import partial

from chaos.errors import FaultError
from chaos.faults.mechanisms.services import OnPeers, OnServices
from chaos.faults.proofs.observe import in_state
from chaos.faults.proofs.proof import Look, Proof
from chaos.faults.undo import Continue, Undo
from sut.deploy.topology import Service


class Pause(OnServices):
    """A stopped process. Its sockets stay open and silent; when it continues it believes that no time has passed."""

    @abstractmethod
    def silent(self, victim: Service) -> Proof:
        """Observe whether the victim leaves a question unanswered."""

    def prepare(self) -> tuple[Undo, ...]:
        """Return the undo step: SIGCONT."""
        return (Continue(self.pids[self.victim.name]),)

    def inject(self) -> None:
        """Send SIGSTOP. Raises FaultError if the process is gone."""
        pid = self.pids[self.victim.name]
        try:
            os.kill(pid, signal.SIGSTOP)
        except ProcessLookupError:
            raise FaultError(f"pid {pid} was gone before it could be stopped") from None

    def damage(self) -> Iterable[Look]:
        """Return looks: the kernel has the process in state T, and it is silent."""
        stopped = partial(in_state, self.pids[self.victim.name], stopped=True)
        return stopped, partial(self.silent, self.victim)

    def repair(self) -> Iterable[Look]:
        """Return one look: the process is alive and not in state T."""
        return (partial(in_state, self.pids[self.victim.name], stopped=False),)


class PeerPause(OnPeers, Pause):
    """SIGSTOP of one service of the chat system."""
