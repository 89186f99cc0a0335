"""Known bad: when a device has disconnected, its route is deleted some time later, without a look at whose it is now.

The clean-up is off the hot path: disconnects are collected, and a sweep that comes along with the lease deletes them by
user and device. A device that was back by then, on whichever gateway, loses the route of its living connection.
The same mistake has no refresh either: a route is written when a device connects ("it does not change while it is
connected"), and again only after Redis was away. So nothing mends it while the connection lasts, except the SYNC of
every tenth heartbeat, which shows what was missed until then.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sut.gateway.registrar import Pace
from sut.ports import Registry, Route
from sut.variants.passing_on import PassingOn

if TYPE_CHECKING:
    from sut.deploy.topology import Topology

LATE_S: Final = 14.0
MAX_WAITING: Final = 50_000
NEVER_S: Final = 1e9


class BlindDelete(PassingOn):
    """Deletes late, and by key."""

    def __init__(self, inner: Registry, *, late_s: float = LATE_S) -> None:
        super().__init__(inner)
        self._late_s = late_s
        self._waiting: deque[tuple[float, int, int]] = deque(maxlen=MAX_WAITING)
        """When it is due, user, device; by time."""

    async def unregister(self, routes: Sequence[tuple[int, Route]]) -> None:
        """Note who has gone."""
        due_s = time.monotonic() + self._late_s
        self._waiting.extend((due_s, user, route.device) for user, route in routes)

    async def lease(self, node: str, incarnation: int, ttl_s: float, address: str) -> None:
        """Renew it, and sweep."""
        await self.inner.lease(node, incarnation, ttl_s, address)
        now_s = time.monotonic()
        swept: set[tuple[int, int]] = set()
        while self._waiting and self._waiting[0][0] <= now_s:
            _, user, device = self._waiting.popleft()
            swept.add((user, device))
        found = await self.inner.routes(sorted({user for user, _ in swept}))
        there = [(user, route) for user, routes in found.items() for route in routes if (user, route.device) in swept]
        await self.inner.unregister(there)


def gateway_registry(_topology: Topology, registry: Registry) -> Registry:
    """The gateways'."""
    return BlindDelete(registry)


def gateway_pace(_topology: Topology) -> Pace | None:
    """No refresh, but for that after Redis was away."""
    return Pace(refresh_s=NEVER_S)
