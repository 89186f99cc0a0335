"""Known bad: a route stays until its own gateway deletes it, so those of a dead gateway keep new ones away.

A gateway registers routes like SETNX and does not read the answer, and its lease never ends: "a gateway unregisters
its devices when they disconnect". A killed gateway does not. Its devices reconnect to other gateways within a second,
but the old routes block the new ones. Messages go to the dead gateway, later to a connection that its next life never
had, and count as told. Each new gateway believes its devices registered, so none is told to RESYNC. A device sees
what it missed when it connects again, or with the SYNC of every tenth heartbeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.ports import Registry, Route
from sut.variants._passing_on import PassingOn

CAUGHT_BY = ("liveness", "catch_up")
SHOWN_BY = "gateway_crash"
FOR_EVER_S: Final = 86_400.0
_HIGHEST: Final = (1 << 64) - 1


class ImmortalRoutes(PassingOn):
    """Reverses the order of epochs: the oldest entry wins instead of the newest."""

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """Take a lease that lasts a day instead of `ttl_s`."""
        await self.inner.lease(node, incarnation, FOR_EVER_S, address)

    async def register(self, routes: Sequence[tuple[int, Route]]) -> list[Route | None]:
        """Write each route whose place is free, and report that all were written."""
        before = await self.inner.register([(user, _turned(route)) for user, route in routes])
        return [route if found is not None else None for (_, route), found in zip(routes, before, strict=True)]

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        """Compare and delete, as the real registry does."""
        await self.inner.unregister([(user, _turned(route)) for user, route in routes])


def _turned(route: Route) -> Route:
    return Route(route.device, route.node, route.incarnation, route.conn, _HIGHEST - route.epoch)


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(registry=lambda inner: cast("Registry", ImmortalRoutes(inner)))
