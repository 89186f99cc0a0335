"""A gateway stops for a while (SIGSTOP) and comes back believing that no time has passed.

Breaks: its sockets stay open and silent, so its devices and the sequencers have to notice by themselves; held longer
than its lease, it is a zombie when it goes on: it still has connections whose devices are elsewhere by now.
Proven: the kernel has it in state T and a peer ping is not answered.
Undone: SIGCONT. Healed when it is no longer in state T and the same incarnation answers a ping.
"""

from __future__ import annotations

import os
import signal

from chaos.errors import FaultError
from chaos.faults.base import Fault, Proof, in_turn
from chaos.faults.observe import LOOK_S, in_state, incarnation, living_pid, peer_address, pings
from chaos.undo import Continue, Undo
from sut.deploy import probe
from sut.deploy.topology import Topology


class GatewayPause(Fault):
    """SIGSTOP of one gateway, SIGCONT after the hold."""

    name = "gateway_pause"

    @classmethod
    def targets(cls, topology: Topology) -> tuple[str, ...]:
        """Every gateway."""
        return tuple(service.name for service in topology.of_kind("gateway"))

    def arm(self) -> tuple[Undo, ...]:
        """Remember who is there now."""
        self._service = self.world.topology.service(self.target)
        self._pid = living_pid(self.world, self.target)
        self._incarnation = incarnation(self._service)
        return (Continue(self._pid),)

    def inject(self) -> None:
        """SIGSTOP."""
        try:
            os.kill(self._pid, signal.SIGSTOP)
        except ProcessLookupError:
            raise FaultError(f"pid {self._pid} was gone before it could be stopped") from None

    def effective(self) -> Proof:
        """State T, and no answer."""
        address = peer_address(self._service)
        return in_turn(
            lambda: in_state(self._pid, stopped=True),
            lambda: pings(address, "of its port", expected=False),
        )

    def healed(self) -> Proof:
        """Running, and the same incarnation answers."""
        running = in_state(self._pid, stopped=False)
        pong = probe.peer_ping(peer_address(self._service), LOOK_S) if running else None
        if pong is None:
            return Proof(ok=False, text=f"{running.text}; it does not answer")
        same = pong.incarnation == self._incarnation
        return Proof(same, f"{running.text}; {'the same' if same else 'another'} incarnation answers a ping")
