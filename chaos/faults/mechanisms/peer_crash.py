"""What the faults share that kill processes of our own services."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from chaos.faults.fault import Proof
from chaos.faults.mechanisms.crash import Crash
from chaos.faults.proofs.observe import incarnation, reborn


class PeerCrash(Crash):
    """A crash that is over when another incarnation answers a peer ping."""

    def look_before(self) -> None:
        """Remember the incarnations."""
        self._incarnations = {service.name: incarnation(service) for service in self._victims}

    def recovery(self) -> Iterable[Callable[[], Proof]]:
        """Each answers as a newer incarnation."""
        return (partial(reborn, service, self._incarnations[service.name]) for service in self._victims)
