"""Known bad: a gateway says nothing of a device that has left, however long the registry takes to learn of it."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.gateway.registrar import Pace

CAUGHT_BY = ("push",)
NEVER_S = 1e9


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(pace=Pace(late_s=NEVER_S))
