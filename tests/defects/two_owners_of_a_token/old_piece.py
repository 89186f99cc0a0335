"""Known bad: a gateway learns that a device connected elsewhere only when it writes its routes again, every 30 s."""

from __future__ import annotations

from typing import cast

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.ports import Registry
from sut.variants._passing_on import PassingOn


class NotTold(PassingOn):
    """Has no word for the gateway whose route was taken."""

    async def replaced(self, node: str, incarnation: int) -> list[int]:
        return []


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(registry=lambda inner: cast("Registry", NotTold(inner)))
