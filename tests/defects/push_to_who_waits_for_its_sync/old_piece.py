"""Known bad: a gateway says nothing of devices that wait for the answer to their first SYNC."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.gateway.syncs import Syncs

CAUGHT_BY = ("push",)


class Unowed(Syncs):
    """The SYNCs under way, as they were."""

    def owed(self, tick: int) -> dict[int, int]:
        return {}


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(syncs=Unowed)
