"""A gateway stops for a while (SIGSTOP) and comes back believing that no time has passed.

Breaks: its sockets stay open and silent, so its devices and the sequencers have to notice by themselves; held longer
than its lease, it is a zombie when it goes on: it still has connections whose devices are elsewhere by now.
Proven: the kernel has it in state T and a peer ping is not answered.
Undone: SIGCONT. Healed when it is no longer in state T and the same incarnation answers a ping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.faults.fault import Proof
from chaos.faults.mechanisms.pause import Pause
from chaos.faults.proofs.observe import LOOK_S, incarnation, peer_address, pings
from sut.deploy.probes import probe


class GatewayPause(Pause):
    """SIGSTOP of one gateway, SIGCONT after the hold."""

    name = "gateway_pause"
    kind = "gateway"

    def look_before(self) -> None:
        """Remember the incarnation."""
        self._incarnation = incarnation(self._victim)

    def symptoms(self) -> Iterable[Callable[[], Proof]]:
        """No answer."""
        return (partial(pings, peer_address(self._victim), "of its port", expected=False),)

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """The same incarnation answers."""
        return (self._same,)

    def _same(self) -> Proof:
        pong = probe.peer_ping(peer_address(self._victim), LOOK_S)
        if pong is None:
            return Proof(ok=False, text="it does not answer")
        same = pong.incarnation == self._incarnation
        return Proof(same, f"{'the same' if same else 'another'} incarnation answers a ping")
