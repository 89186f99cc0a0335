"""Known bad: a gateway that took a route out once does not do it again, though a failover may have lost the removal."""

from __future__ import annotations

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.gateway.registrar import Pace

CAUGHT_BY = ("push",)
NEVER_S = -1.0


def gateway(topology: Topology) -> GatewayPieces:
    return GatewayPieces(pace=Pace(refresh_s=topology.settings.heartbeat_s, doubt_s=NEVER_S))
