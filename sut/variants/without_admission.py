"""Known bad: gateways take every SEND, however long those before it wait already: under overload all wait, and repeat.

Nothing is lost. But each waits for seconds, and the devices repeat what was not answered in time, so the queues hold
messages more than once.
"""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.gateway.admission import Admission
from sut.gateway.pieces import GatewayPieces
from sut.services.chat.accept import Acceptor
from sut.services.chat.pieces import ChatPieces

MEASURED_BY = "overload"


class TakesAll(Admission):
    """Takes every SEND, however long it will wait."""

    def refuses(self, partition: int, now_s: float) -> float:
        return 0.0


class Keeps(Acceptor):
    """Appends every SEND, however long it has waited."""

    patience_s = float("inf")


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(admission=TakesAll)


def chat(_topology: Topology) -> ChatPieces:
    return ChatPieces(acceptor=Keeps)
