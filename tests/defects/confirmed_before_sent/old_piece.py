"""Known bad: what waits for a link is sent by the next tick, and a new frame overtakes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sut.deploy.topology import Topology
from sut.ports import Registry
from sut.process.peer import PeerLink
from sut.protocol.peer import Deliver, PassOn
from sut.services.sequencer.edge import Edge
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.pieces import SequencerPieces

CAUGHT_BY = ("felt",)


class Overtaken(Edge):
    """Sends a new frame at once."""

    def send(self, items: tuple[Deliver, ...], now_s: float) -> bool:
        waiting = list(self._untaken)
        self._untaken.clear()  # so that it finds nothing to send before
        sent = super().send(items, now_s)
        self._untaken.extendleft(reversed(waiting))
        return sent


class Overtaking(Emitter):
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
        confirms = frozenset(confirming)
        self._edges |= {node: Overtaken(links[node], pass_on=pass_on) for node in confirms}


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(emitter=Overtaking)
