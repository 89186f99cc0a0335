"""Known bad: a gateway writes a route once, when the device connects, and does not look whether it is still there.

A dead handshake elsewhere can take the route and remove it. The living connection is then told nothing.
"""

from __future__ import annotations

from typing import cast

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.gateway.registrar import Pace
from sut.ports import Registry
from sut.variants._passing_on import PassingOn

CAUGHT_BY = ("liveness", "catch_up")
NEVER_S = 1e6


class NotTold(PassingOn):
    """Has no word for the gateway whose route was taken."""

    async def replaced(self, node: str, incarnation: int) -> list[int]:
        return []


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(registry=lambda inner: cast("Registry", NotTold(inner)), pace=Pace(refresh_s=NEVER_S))
