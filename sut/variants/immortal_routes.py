"""Known bad: a route is there until the gateway that wrote it takes it out, and until then it keeps its place.

The registration is a SETNX whose answer nobody reads, and the lease is for ever: "a gateway unregisters its devices
when they disconnect". One that was killed does not. Its devices reconnect to others within a second, and their new
routes are not written, because the old ones are there: messages are sent to the dead gateway, later to a connection
that its next life never had, and count as told. Each new gateway believes its devices registered, so nobody is told
to RESYNC. A device sees what it missed when it connects again, or with the SYNC of every tenth heartbeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sut.ports import Registry, Route
from sut.variants.passing_on import PassingOn

if TYPE_CHECKING:
    from sut.deploy.topology import Topology

FOR_EVER_S: Final = 86_400.0
_HIGHEST: Final = (1 << 64) - 1


class ImmortalRoutes(PassingOn):
    """Turns the order of epochs round: where the newest entry would win, now the oldest does."""

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """Never ends by itself."""
        await self.inner.lease(node, incarnation, FOR_EVER_S, address)

    async def register(self, routes: Sequence[tuple[int, Route]]) -> list[Route | None]:
        """Write each route that has no other in its place, and say that all were written."""
        before = await self.inner.register([(user, _turned(route)) for user, route in routes])
        return [route if found is not None else None for (_, route), found in zip(routes, before, strict=True)]

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        """Compare and delete, as it should be."""
        await self.inner.unregister([(user, _turned(route)) for user, route in routes])


def _turned(route: Route) -> Route:
    return Route(route.device, route.node, route.incarnation, route.conn, _HIGHEST - route.epoch)


def gateway_registry(_topology: Topology, registry: Registry) -> Registry:
    """The gateways'; whoever reads routes looks at the registry itself."""
    return ImmortalRoutes(registry)
