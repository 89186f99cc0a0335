"""Known bad: a sequencer takes the highest incarnation of a gateway for the one that is there.

It comes from the gateway's clock, which may have been set back. The trigger's gateways have such a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sut.deploy.topology import Topology
from sut.ports import Registry
from sut.process.peer import PeerLink
from sut.protocol.peer import PassOn
from sut.services.sequencer.edge import Edge
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.pieces import SequencerPieces
from tests.defects.restart_after_clock_set_back.trigger import gateway

__all__ = ["CAUGHT_BY", "gateway", "sequencer"]

CAUGHT_BY = ("felt",)


class Highest(Edge):
    """Never goes back to a lower incarnation."""

    def _adopt(self, incarnation: int) -> None:
        if incarnation > self._incarnation:
            super()._adopt(incarnation)


class ByTheHighest(Emitter):
    """Has such edges."""

    def __init__(
        self,
        registry: Registry,
        links: Mapping[str, PeerLink],
        *,
        confirming: Iterable[str] = (),
        pass_on: Callable[[PassOn], bool] = lambda _frame: False,
    ) -> None:
        super().__init__(registry, links, confirming=confirming, pass_on=pass_on)
        self._edges |= {node: Highest(links[node], pass_on=pass_on) for node in frozenset(confirming)}


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(emitter=ByTheHighest)
