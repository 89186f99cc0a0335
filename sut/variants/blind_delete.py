"""Known bad: the late clean-up after a disconnect deletes the device's route, whichever connection owns it by then.

The clean-up is off the hot path. Disconnects are collected, and a sweep at each renewal of the lease deletes their
routes by user and device. A device that is back by then, on whichever gateway, loses the route of its new connection.
Routes are not refreshed either: a gateway writes a route when a device connects, and again only after Redis was away.
So nothing restores the route while the connection lasts. Only the SYNC of every tenth heartbeat shows what was missed.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Final, cast

from sut.deploy.topology import Topology
from sut.gateway.pieces import GatewayPieces
from sut.gateway.registrar import Pace
from sut.ports import Registry, Route
from sut.variants._passing_on import PassingOn

CAUGHT_BY = ("liveness", "catch_up")
LATE_S: Final = 14.0
MAX_WAITING: Final = 50_000
NEVER_S: Final = 1e9


class BlindDelete(PassingOn):
    """Deletes routes late, by user and device instead of by connection."""

    def __init__(self, inner: Registry, *, late_s: float = LATE_S) -> None:
        super().__init__(inner)
        self._late_s = late_s
        self._waiting: deque[tuple[float, int, int]] = deque(maxlen=MAX_WAITING)
        """(time of the deletion in monotonic s, user, device), in order of time."""

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        """Note the disconnected devices for the sweep."""
        due_s = time.monotonic() + self._late_s
        self._waiting.extend((due_s, user, route.device) for user, route in routes)

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """Renew the lease, then sweep the due routes."""
        await self.inner.lease(node, incarnation, ttl_s, address)
        now_s = time.monotonic()
        swept: set[tuple[int, int]] = set()
        while self._waiting and self._waiting[0][0] <= now_s:
            _, user, device = self._waiting.popleft()
            swept.add((user, device))
        found = await self.inner.routes(sorted({user for user, _ in swept}))
        there = [(user, route) for user, routes in found.items() for route in routes if (user, route.device) in swept]
        await self.inner.unregister(there)


def gateway(_topology: Topology) -> GatewayPieces:
    return GatewayPieces(registry=lambda inner: cast("Registry", BlindDelete(inner)), pace=Pace(refresh_s=NEVER_S))
