"""Known bad: a notification that was lost on its way waits for the device's next heartbeat.

No gateway confirms what it got, and none says where its devices are while Redis cannot be told. What a chat service
had taken when it died waits for the device's own time limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from sut.deploy.topology import Topology
from sut.gateway.announcer import Announcer
from sut.gateway.handed import Handed
from sut.gateway.pieces import GatewayPieces
from sut.ports import Registry
from sut.process.peer import PeerConnection, PeerLink
from sut.protocol.peer import PassOn, PeerFrame
from sut.services.sequencer.emitter import Emitter
from sut.services.sequencer.pieces import SequencerPieces

CAUGHT_BY = ("felt",)


class Trusting(Emitter):
    """Takes what a link took for arrived."""

    def __init__(
        self,
        registry: Registry,
        links: Mapping[str, PeerLink],
        *,
        confirming: Iterable[str] = (),
        pass_on: Callable[[PassOn], bool] = lambda _frame: False,
    ) -> None:
        super().__init__(registry, links)


class Silent(Announcer):
    """Announces nothing."""

    def begin(self, since_s: float) -> None:
        pass

    def asked(self, peer: PeerConnection) -> None:
        pass


class Forgetful(Handed):
    """Keeps nothing."""

    def note(self, chat: int, life: int, frame: PeerFrame, tick: int) -> None:
        pass


def sequencer(_topology: Topology) -> SequencerPieces:
    return SequencerPieces(emitter=Trusting)


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(announcer=Silent, handed=Forgetful)
